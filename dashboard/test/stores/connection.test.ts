import { Refused, type Change, type FleetListener, type FleetOptions, type FleetSnapshot } from "muster-client";
import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { useAuth } from "@/stores/auth";
import { useClient } from "@/stores/client";
import { useConnection } from "@/stores/connection";
import { sessionsOf, summary, tokenOf } from "../summaries";

/** Stands for muster-client's: says what a test wants. */
class FakeFleet {
  listener: FleetListener = () => undefined;
  snapshot: FleetSnapshot = { state: "connecting", sessions: new Map(), counts: undefined, staleSince: undefined };
  isStopped = false;
  refuse: (error: Error) => void = () => undefined;

  constructor(readonly options: FleetOptions) {}
  subscribe(listener: FleetListener): () => void {
    this.listener = listener;
    return () => undefined;
  }
  getSnapshot(): FleetSnapshot {
    return this.snapshot;
  }
  urls = ["http://b:1", "http://a:1"];
  start(): this {
    return this;
  }
  stop(): Promise<void> {
    this.isStopped = true;
    return Promise.resolve();
  }
  waitLive(): Promise<void> {
    return new Promise((_, reject) => (this.refuse = reject));
  }
  tell(snapshot: Partial<FleetSnapshot>, ...changes: Change[]): void {
    this.snapshot = { ...this.snapshot, ...snapshot };
    this.listener(changes);
  }
}

let fleets: FakeFleet[];

async function connected(total: number | null = 3): Promise<ReturnType<typeof useConnection>> {
  const client = useClient();
  vi.spyOn(client, "request").mockResolvedValue({ sessions: [], next: null, total });
  vi.spyOn(client, "newFleet").mockImplementation((options = {}) => {
    const made = new FakeFleet(options);
    fleets.push(made);
    return made as never;
  });
  const connection = useConnection();
  connection.start();
  await vi.waitFor(() => expect(fleets).toHaveLength(1));
  return connection;
}

const fleet = (): FakeFleet => fleets.at(-1) as FakeFleet;

beforeEach(() => {
  sessionStorage.clear();
  setActivePinia(createPinia());
  fleets = [];
});

describe("connection", () => {
  it("shows the state and the sessions of the live fleet", async () => {
    const connection = await connected();
    const told: Change[] = [];
    connection.subscribe((changes) => told.push(...changes));
    fleet().tell({ state: "live", sessions: sessionsOf(summary("a")) }, { kind: "reset" });
    expect([connection.state, connection.snapshot.sessions.size, told.length]).toEqual(["live", 1, 1]);
  });

  it("says that something may be missing only after a second snapshot", async () => {
    const connection = await connected();
    fleet().tell({ state: "live" }, { kind: "reset" });
    expect(connection.gapAt).toBeUndefined();
    fleet().tell({ state: "offline" }, { kind: "state", state: "offline" });
    fleet().tell({ state: "live" }, { kind: "state", state: "live" });
    expect(connection.gapAt).toBeUndefined(); // what was missed came
    fleet().tell({ state: "live" }, { kind: "reset" });
    expect(connection.gapAt).toBeDefined();
  });

  it("asks for a login when the token is over, also long after the connect", async () => {
    const auth = useAuth();
    auth.signIn(tokenOf({ role: "viewer" }), false);
    await connected();
    fleet().tell({ state: "live" }, { kind: "reset" });
    fleet().tell({ state: "offline" }, { kind: "state", state: "offline" });
    fleet().refuse(new Refused({ code: "not_authenticated", message: "It has expired." }));
    await vi.waitFor(() => expect(auth.token).toBeUndefined());
    expect(auth.refusal).toContain("It has expired.");
    expect(fleet().isStopped).toBe(true);
  });

  it("says why it was refused otherwise, and keeps the token", async () => {
    const auth = useAuth();
    auth.signIn(tokenOf({ role: "viewer" }), false);
    const connection = await connected();
    fleet().refuse(new Refused({ code: "not_allowed", message: "No." }));
    await vi.waitFor(() => expect(connection.refusal).toContain("No."));
    expect(auth.token).toBeDefined();
  });

  it("watches a fleet as a whole, and of a large one only what is listed", async () => {
    await connected(20_000);
    expect(fleet().options.scope).toBe("fleet");
    setActivePinia(createPinia());
    fleets = [];
    const large = await connected(20_001);
    expect(large.isLarge).toBe(true);
    large.watchOnly(["a", "b"]);
    expect(fleet().options.scope).toEqual({ sessions: ["a", "b"] });
    expect(fleets.map((one) => one.isStopped)).toEqual([true, false]);
    large.watchOnly(["a", "b"]); // the same: nothing to do
    expect(fleets).toHaveLength(2);
  });

  it("loads a fleet whose size is not known, and watches no more of a large one than the service allows", async () => {
    await connected(null);
    expect(fleet().options.scope).toBe("fleet");
    setActivePinia(createPinia());
    fleets = [];
    const large = await connected(20_001);
    large.watchOnly(Array.from({ length: 1001 }, (_, index) => `s${String(index)}`));
    expect(fleet().options.scope).toMatchObject({ sessions: { length: 1000 } });
  });

  it("has requests go to the node that it is connected to", async () => {
    await connected();
    expect(useClient().url).toBe(location.origin);
    fleet().tell({ state: "live" }, { kind: "reset" });
    expect(useClient().url).toBe("http://b:1");
  });

  it("does not listen to what it left", async () => {
    const connection = await connected();
    const old = fleet();
    connection.stop();
    old.tell({ state: "live", sessions: sessionsOf(summary("a")) }, { kind: "reset" });
    expect([connection.state, old.isStopped]).toEqual(["connecting", true]);
  });
});
