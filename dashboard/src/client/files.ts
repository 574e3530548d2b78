// Files that the API gives: fetched with the token, which never stands in an address, and then saved.
import { NotConnected, Refused, type ErrorBody } from "muster-client";

/** Beyond this a page would need too much memory; curl does not. */
export const LARGEST_FILE = 64 * 1024 * 1024;

export class FileTooLarge extends Error {
  constructor(readonly curl: string) {
    super("The file is larger than 64 MiB: fetch it by the command line instead.");
    this.name = "FileTooLarge";
  }
}

export interface FileRequest {
  /** With `/api/v1` and the query. */
  readonly url: string;
  readonly token: string | undefined;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  readonly largest?: number;
}

/**
 * Return the content of a file.
 * @throws FileTooLarge, Refused: the service's error. NotConnected: it did not come whole.
 */
export async function fetchFile(request: FileRequest): Promise<Blob> {
  const { url, token, accept = "*/*", signal, largest = LARGEST_FILE } = request;
  const headers = new Headers({ Accept: accept });
  if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
  try {
    const options: RequestInit = { headers, cache: "no-store", credentials: "omit", redirect: "error" };
    const response = await fetch(url, signal === undefined ? options : { ...options, signal });
    if (!response.ok) throw new Refused(await errorBody(response));
    if (Number(response.headers.get("Content-Length") ?? 0) > largest) {
      await response.body?.cancel();
      throw new FileTooLarge(curlLine(url, accept));
    }
    return new Blob(await readParts(response, largest, () => new FileTooLarge(curlLine(url, accept))), {
      type: response.headers.get("Content-Type") ?? "application/octet-stream",
    });
  } catch (error) {
    if (error instanceof Refused || error instanceof FileTooLarge) throw error;
    throw new NotConnected("the file did not come whole", { cause: error });
  }
}

async function readParts(response: Response, largest: number, tooLarge: () => Error): Promise<BlobPart[]> {
  const reader = response.body?.getReader();
  const parts: BlobPart[] = [];
  let size = 0;
  while (reader !== undefined) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > largest) {
      await reader.cancel();
      throw tooLarge();
    }
    parts.push(value);
  }
  return parts;
}

async function errorBody(response: Response): Promise<ErrorBody> {
  const found: unknown = await response.json().catch(() => null);
  return typeof found === "object" && found !== null ? { ...found } : { message: `status ${response.status}` };
}

/** Return the command line that fetches the same; the token is read from a variable, so that no history has it. */
export function curlLine(url: string, accept: string): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  return `curl -fOJ --compressed -H "Authorization: Bearer $MUSTER_TOKEN" -H ${quote(`Accept: ${accept}`)} ${quote(url)}`;
}

/** Let the browser save it. */
export function saveBlob(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
