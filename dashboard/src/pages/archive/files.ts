// Names of files that are saved.

/** Return a file name without characters that are special to a shell or a disk. */
export function fileName(text: string, ending: string): string {
  const safe = text.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, 80);
  return `${safe === "" || safe === "_" ? "session" : safe}${ending}`;
}
