import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { fileName } from "@/pages/archive/files";
import { useArchive } from "@/stores/archive";

let asked: string[];

/** What the service answers, in this order. */
function answer(...bodies: [status: number, body: unknown][]): void {
  asked = [];
  vi.stubGlobal("fetch", (url: string, { method = "GET" }: RequestInit = {}) => {
    asked.push(`${method} ${url.replace(/^.*\/api\/v1/, "")}`);
    const [status, body] = bodies.shift() ?? [500, {}];
    return Promise.resolve(Response.json(body, { status }));
  });
}

beforeEach(() => {
  setActivePinia(createPinia());
  return () => vi.unstubAllGlobals();
});

describe("the archive", () => {
  it("waits for a check that a job continues, and returns its result", async () => {
    vi.useFakeTimers();
    const result = { checked: 3, bad: 0, unreadable: 0, beside: 0, wrong: [] };
    const accepted = { job_id: "verify/1", state: "started" };
    answer([202, accepted], [200, { state: "started" }], [200, { state: "finished", result }]);
    const found = useArchive().verify(() => false);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await found).toEqual(result);
    expect(asked).toEqual(["POST /archive/verify", "GET /jobs/verify%2F1", "GET /jobs/verify%2F1"]);
    vi.useRealTimers();
  });

  it("says why the job of a check failed, and asks no more when its page is left", async () => {
    answer([202, { job_id: "v", state: "started" }], [200, { state: "failed", error: "the disk is away" }]);
    await expect(useArchive().verify(() => false)).rejects.toThrow("the disk is away");
    answer([202, { job_id: "v", state: "started" }]);
    expect(await useArchive().verify(() => true)).toBeUndefined();
    expect(asked).toHaveLength(1);
  });

  it("tells a session that is restored from one that a job is still at", async () => {
    answer([200, { session_id: "a" }], [202, { job_id: "r", state: "started" }]);
    const { restore } = useArchive();
    expect([await restore("../a"), await restore("b")]).toEqual([true, false]);
    expect(asked[0]).toBe("POST /sessions/..%2Fa/restore");
  });
});

describe("names of saved files", () => {
  it.each(["../../etc/passwd", 'a"; rm -rf ~', "\u202Egpj", "", "x".repeat(500)])("are harmless: %s", (id) => {
    expect(fileName(id, ".json.zst")).toMatch(/^[\w-]{1,80}\.json\.zst$/);
  });
});
