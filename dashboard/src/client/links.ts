// Addresses of pages. A browser takes `.` and `..` out of a path, encoded or not, so they have a character before them.
import type { RouteLocationRaw } from "vue-router";

const MARK = "\u007f";

/** Return where the page of a session is. */
export function sessionLink(id: string, query: Record<string, string> = {}): RouteLocationRaw {
  return { name: "session", params: { id: /^(\.{1,2}$|\u007f)/.test(id) ? MARK + id : id }, query };
}

/** Return the id that a parameter of an address means. */
export function idOf(parameter: string | readonly string[] | undefined): string {
  const text = typeof parameter === "string" ? parameter : (parameter ?? []).join("/");
  return text.startsWith(MARK) ? text.slice(1) : text;
}
