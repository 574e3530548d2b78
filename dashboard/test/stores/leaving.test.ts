import type { Change, Fleet } from "muster-client";
import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { useAuth } from "@/stores/auth";
import { useCommandNames } from "@/stores/commandNames";
import { useConnection, type ChangeListener } from "@/stores/connection";
import { useFleet } from "@/stores/fleet";
import { useTail } from "@/stores/tail";
import { useToasts } from "@/stores/toasts";
import { sessionsOf, summary, tokenOf } from "../summaries";

const ann = tokenOf({ sub: "ann", role: "admin", exp: 1 });
const annLater = tokenOf({ sub: "ann", role: "admin", exp: 2 });
const bob = tokenOf({ sub: "bob", role: "operator", projects: ["berlin"] });

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
  setActivePinia(createPinia());
});

/** Ann signs in, and sees and does something. */
function usedByAnn(): () => unknown[] {
  const connection = useConnection();
  let listener: ChangeListener = () => undefined;
  vi.spyOn(connection, "subscribe").mockImplementation((one) => {
    listener = one;
    return () => undefined;
  });
  const [auth, tail, fleet, names, toasts] = [useAuth(), useTail(), useFleet(), useCommandNames(), useToasts()];
  auth.signIn(ann, false);
  const changes: Change[] = [
    { kind: "samples", sessionId: "secret-1", rev: 1, samples: [["secret", 1, 1]], isConflated: false },
  ];
  connection.snapshot = { ...connection.snapshot, sessions: sessionsOf(summary("secret-1")) };
  listener([{ kind: "reset" }, ...changes]);
  tail.take({ state: "live", sessions: new Map() } as unknown as Fleet, [{ kind: "reset" }, ...changes]);
  names.remember("reboot");
  toasts.failed("secret-1", new Error("no"));
  return () => [
    tail.rows.length, tail.total, fleet.size, fleet.knownKeys(), names.names, toasts.toasts.length, localStorage.length,
  ];
}
const ALL = [1, 1, 1, ["secret"], ["reboot"], 1, 1];
const NOTHING = [0, 0, 0, [], [], 0, 0];

describe("what one person has seen", () => {
  it("is gone when they sign out", () => {
    const seen = usedByAnn();
    expect(seen()).toEqual(ALL);
    useAuth().leave();
    expect(seen()).toEqual(NOTHING);
    expect(Object.values(sessionStorage)).toEqual([]);
  });

  it("is not for another one who comes when their token has ended, and for them it is", () => {
    const seen = usedByAnn();
    useAuth().signOut("The token has ended.");
    useAuth().signIn(annLater, false);
    expect(seen()).toEqual(ALL);
    useAuth().signOut("The token has ended.");
    useAuth().signIn(bob, false);
    expect(seen()).toEqual(NOTHING);
  });

  it("is gone with it, wherever in the page they were", () => {
    localStorage.setItem("muster.commands", '["reboot"]');
    localStorage.setItem("muster.theme", "dark");
    useAuth().signIn(ann, true);
    useAuth().leave();
    expect(Object.keys(localStorage)).toEqual(["muster.theme"]);
  });

  it("is gone in other tabs that have the same token, and nowhere else", async () => {
    const tabs = [ann, ann, bob].map((token) => {
      setActivePinia(createPinia());
      const auth = useAuth();
      auth.signIn(token, false);
      return auth;
    });
    tabs[0]?.leave();
    await vi.waitFor(() => expect(tabs[1]?.token).toBeUndefined());
    expect(tabs.map((auth) => [auth.refusal, auth.hasLeft])).toEqual([
      ["You signed out.", true], ["You signed out.", true], [undefined, false],
    ]);
  });
});
