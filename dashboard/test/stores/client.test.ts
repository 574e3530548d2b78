import { NotConnected } from "muster-client";
import { createPinia, setActivePinia } from "pinia";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { useAuth } from "@/stores/auth";
import { useClient } from "@/stores/client";

const FROZEN = location.origin;
const OTHER = "http://other.test";
/** What the other node was asked. */
let asked: string[];
let thaw: (text: string) => void;

const answer = (text: string): Response => new Response(text, { headers: { "Content-Type": "application/json" } });

beforeEach(() => {
  vi.useFakeTimers();
  setActivePinia(createPinia());
  asked = [];
  vi.stubGlobal("fetch", (url: string, { method = "GET" }: RequestInit) => {
    if (url.startsWith(FROZEN)) return new Promise((resolve) => (thaw = (text) => resolve(answer(text))));
    asked.push(`${method} ${url.slice(OTHER.length)}`);
    return Promise.resolve(answer('{"of":"other"}'));
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Ask the node that is frozen, and go to the other one. */
async function left<T>(ask: (client: ReturnType<typeof useClient>) => Promise<T>): Promise<T> {
  const client = useClient();
  client.moveTo([FROZEN, OTHER]);
  const found = ask(client);
  await vi.advanceTimersByTimeAsync(1000);
  client.moveTo([OTHER, FROZEN]);
  return found;
}

describe("a request to a node that the page leaves", () => {
  it("is made to the next one, where it may be repeated", async () => {
    expect(await left((client) => client.get("/nodes"))).toEqual({ of: "other" });
    await left((client) => client.consult((operator) => operator.bulk("b-1")));
    await left((client) => client.file("/archive/kiosk-7"));
    await left((client) => client.request({ method: "POST", path: "/commands", json: "{}" }));
    expect(asked).toEqual([
      "GET /api/v1/nodes", "GET /api/v1/commands/b-1?limit=1", "GET /api/v1/archive/kiosk-7", "POST /api/v1/commands",
    ]);
  });

  it("is made once where it may not, and soon nobody knows whether it was done", async () => {
    const acts: ((client: ReturnType<typeof useClient>) => Promise<unknown>)[] = [
      (client) => client.request({ method: "PUT", path: "/x", isRepeatable: false }),
      (client) => client.operate((operator) => operator.delete("kiosk-7")),
    ];
    for (const act of acts) {
      const failure = left(act).catch((error: unknown) => error);
      await vi.advanceTimersByTimeAsync(5_000);
      expect(await failure).toBeInstanceOf(NotConnected);
    }
    expect(asked).toEqual([]);
  });

  it("is answered by that node, where it is only stopped", async () => {
    const found = left((client) => client.request({ method: "PUT", path: "/x", isRepeatable: false }));
    await vi.advanceTimersByTimeAsync(2_000);
    thaw('{"of":"the first"}');
    expect(await found).toEqual({ of: "the first" });
  });
});

it("keeps why somebody is signed out, whatever is refused for it later", async () => {
  const refused = '{"code":"not_authenticated","message":"Send a token."}';
  const headers = { "Content-Type": "application/json" };
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(refused, { status: 401, headers })));
  const [auth, client] = [useAuth(), useClient()];
  await client.get("/nodes").catch(() => undefined);
  expect(auth.refusal).toBe("Send a token.");
  auth.leave();
  await client.get("/nodes").catch(() => undefined);
  expect(auth.refusal).toBe("You signed out.");
});
