// What a token says of its bearer. The service checks it; the page only leaves out what would be refused.

export type Role = "viewer" | "operator" | "admin";

export interface Claims {
  readonly sub: string | undefined;
  /** `device` and roles of later versions may not use the dashboard. */
  readonly role: string | undefined;
  /** undefined: all projects. */
  readonly projects: readonly string[] | undefined;
  /** Seconds since 1970; undefined: never. */
  readonly endsAtS: number | undefined;
}

const RANKS: readonly string[] = ["viewer", "operator", "admin"] satisfies Role[];

/** Return what a JSON Web Token says; undefined: it is none. */
export function readClaims(token: string): Claims | undefined {
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  try {
    const bytes = Uint8Array.from(atob((parts[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")), (one) =>
      one.charCodeAt(0),
    );
    const found: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof found !== "object" || found === null) return undefined;
    const { sub, role, projects, exp } = found as Record<string, unknown>;
    return {
      sub: typeof sub === "string" ? sub : undefined,
      role: typeof role === "string" ? role : undefined,
      projects: Array.isArray(projects) ? projects.map(String) : undefined,
      endsAtS: typeof exp === "number" ? exp : undefined,
    };
  } catch {
    return undefined;
  }
}

/** Return whether a role may what `needed` may. */
export function reaches(role: string | undefined, needed: Role): boolean {
  return RANKS.indexOf(role ?? "") >= RANKS.indexOf(needed);
}
