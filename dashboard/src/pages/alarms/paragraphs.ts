// What the docs say about alarms, as data: nothing of it becomes HTML by itself.

export interface Words {
  readonly text: string;
  /** Left out: ordinary words. */
  readonly kind?: "code" | "strong";
}

/** "Means.", "Look." … and what follows; without a label it is an addition. */
export interface Paragraph {
  readonly label: string;
  readonly words: readonly Words[];
}

/** By name of the alarm. */
export type Paragraphs = Readonly<Record<string, readonly Paragraph[]>>;

/** Return the sections of the alarms that the service itself has; their names begin with a small letter. */
export function parseAlarms(operations: string): Paragraphs {
  const found: Record<string, Paragraph[]> = {};
  const alarms = /^## Alarms\n([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(operations)?.[1] ?? "";
  for (const section of alarms.split(/^### /m).slice(1)) {
    const [heading = "", ...lines] = section.split("\n");
    const names = [...heading.matchAll(/`([a-z]\w*)`/g)].map((match) => match[1] ?? "");
    const paragraphs = lines.join("\n").split(/\n\s*\n|\n(?=\* )/).map(parseParagraph);
    for (const name of names) found[name] = paragraphs.filter(({ words }) => words.length > 0);
  }
  return found;
}

function parseParagraph(markdown: string): Paragraph {
  const text = markdown
    .replace(/^\s*\*(?:critical|warning)\*\s*$/gm, "")
    .replace(/^\* /, "")
    .replace(/\s+/g, " ")
    .trim();
  const match = /^\*\*([^*]+)\.\*\* /.exec(text);
  return { label: match?.[1] ?? "", words: parseWords(text.slice(match?.[0].length ?? 0)) };
}

/** Links lose where they lead: the page has no other pages of the docs. */
function parseWords(text: string): Words[] {
  const plain = text.replace(/\[([^\]]+)\]\([^)]*\)/g, "$1");
  return plain
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .filter((part) => part !== "")
    .map((part): Words => {
      if (part.startsWith("`")) return { kind: "code", text: part.slice(1, -1) };
      if (part.startsWith("**")) return { kind: "strong", text: part.slice(2, -2) };
      return { text: part };
    });
}
