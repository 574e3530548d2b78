import {
  NotConnected, Refused, type Change, type Counts, type FleetListener,
  type FleetOptions, type FleetSnapshot,
} from "muster-client";
import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { offlineWords } from "@/client/errors";
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

function connected(): ReturnType<typeof useConnection> {
  const client = useClient();
  vi.spyOn(client, "look").mockResolvedValue(undefined);
  vi.spyOn(client, "newFleet").mockImplementation((options = {}) => {
    const made = new FakeFleet(options);
    fleets.push(made);
    return made as never;
  });
  const connection = useConnection();
  connection.start();
  expect(fleets).toHaveLength(1);
  return connection;
}

const counts = (active: number, inactive: number): Counts => ({ active, inactive, archived: 0 });
const fleet = (): FakeFleet => fleets.at(-1) as FakeFleet;

beforeEach(() => {
  sessionStorage.clear();
  setActivePinia(createPinia());
  fleets = [];
});

describe("connection", () => {
  it("shows the state and the sessions of the live fleet", () => {
    const connection = connected();
    const told: Change[] = [];
    connection.subscribe((changes) => told.push(...changes));
    fleet().tell({ state: "live", sessions: sessionsOf(summary("a")) }, { kind: "reset" });
    expect([connection.state, connection.snapshot.sessions.size, told.length]).toEqual(["live", 1, 1]);
  });

  it("says that something may be missing only after a second snapshot", () => {
    const connection = connected();
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
    connected();
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
    const connection = connected();
    fleet().refuse(new Refused({ code: "not_allowed", message: "No." }));
    await vi.waitFor(() => expect(connection.refusal).toContain("No."));
    expect(auth.token).toBeDefined();
  });

  it("watches a fleet as a whole, and of one that turns out to be too large only what is listed", () => {
    const connection = connected();
    expect(fleet().options.scope).toBe("fleet");
    fleet().tell({ counts: counts(19_000, 1_000) });
    expect(fleets).toHaveLength(1);
    fleet().tell({ counts: counts(19_000, 1_001) }); // before the last page of it came
    expect([connection.isLarge, connection.counts, connection.isLoaded]).toEqual([true, undefined, false]);
    connection.watchOnly(["a", "b"]);
    expect(fleet().options.scope).toEqual({ sessions: ["a", "b"] });
    expect(fleets.map((one) => one.isStopped)).toEqual([true, true, false]);
    connection.watchOnly(["a", "b"]); // the same: nothing to do
    connection.watchOnly(Array.from({ length: 1001 }, (_, index) => `s${String(index)}`));
    expect(fleet().options.scope).toMatchObject({ sessions: { length: 1000 } }); // as many as the service allows
  });

  it("keeps a fleet that grew while it was watched, until it has to be loaded again", () => {
    const connection = connected();
    fleet().tell({ state: "live", counts: counts(3, 0) }, { kind: "reset" });
    fleet().tell({ counts: counts(20_001, 0) });
    expect([connection.isLarge, connection.counts?.active]).toEqual([false, 20_001]);
    fleet().tell({ state: "resyncing" }, { kind: "state", state: "resyncing" });
    expect(connection.isLarge).toBe(true);
    connection.restart(); // as with another token, which may see less
    expect([connection.isLarge, fleet().options.scope]).toEqual([false, "fleet"]);
  });

  it("has requests go to the node that it is connected to", () => {
    connected();
    expect(useClient().url).toBe(location.origin);
    fleet().tell({ state: "live" }, { kind: "reset" });
    expect(useClient().url).toBe("http://b:1");
  });

  it("does not listen to what it left", () => {
    const connection = connected();
    const old = fleet();
    connection.stop();
    old.tell({ state: "live", sessions: sessionsOf(summary("a")) }, { kind: "reset" });
    expect([connection.state, old.isStopped]).toEqual(["connecting", true]);
  });

  it("asks why there is no connection, until there is one", async () => {
    vi.useFakeTimers();
    const connection = connected();
    const away = new Refused({ code: "store_unavailable", message: "Redis is away." });
    const look = vi.spyOn(useClient(), "look").mockRejectedValueOnce(away).mockRejectedValue(new NotConnected("gone"));
    fleet().tell({ state: "offline" }, { kind: "state", state: "offline" });
    await vi.advanceTimersByTimeAsync(0);
    expect(offlineWords(connection.trouble)).toContain("its Redis does not");
    await vi.advanceTimersByTimeAsync(3_000);
    expect(offlineWords(connection.trouble)).toBe("No connection to the service.");
    fleet().tell({ state: "live" }, { kind: "reset" });
    await vi.advanceTimersByTimeAsync(30_000);
    expect([connection.trouble, look.mock.calls.length]).toEqual([undefined, 2]);
    vi.useRealTimers();
  });
});
