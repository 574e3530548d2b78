// Who uses the page, in words.
import type { Claims } from "@/client/claims";
import { exactTime } from "@/client/times";
import { visible } from "@/client/visible";

/** Return what a token allows, until when, and where it is kept. */
export function accountWords(claims: Claims | undefined, isKept: boolean): string {
  if (claims === undefined) return "";
  const projects = claims.projects === undefined ? "" : `, projects: ${claims.projects.join(", ") || "none"}`;
  const end = claims.endsAtS === undefined ? "never ends" : `ends ${exactTime(claims.endsAtS * 1000)}`;
  const kept = isKept ? "kept in this browser" : "kept in this tab";
  return `${visible(claims.role ?? "no role")}${visible(projects)}; the token ${end}; ${kept}`;
}
