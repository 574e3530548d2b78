// Commands on their way to the service.

/** What is sent; `params` as JSON text, so that it keeps its digits. */
export interface Wanted {
  readonly command: string;
  /** "": none. */
  readonly params: string;
  /** undefined: the service's setting. */
  readonly ttlS: number | undefined;
}

/** Return the body of a request, with `more` fields. */
export function commandJson({ command, params, ttlS }: Wanted, more: Readonly<Record<string, unknown>> = {}): string {
  const fields = [`"command":${JSON.stringify(command)}`, `"params":${params.trim() || "null"}`];
  const others = Object.entries({ ...(ttlS === undefined ? {} : { ttl_s: ttlS }), ...more });
  return `{${[...fields, ...others.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)].join(",")}}`;
}

/** Return an idempotency key: sent again with it, a command is the same one. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
