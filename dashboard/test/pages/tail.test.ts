import type { Change, Summary } from "muster-client";
import { describe, expect, it } from "vitest";
import { RowMaker, matcher, toNdjson, type Kind, type Row } from "@/pages/tail/rows";

const summary = (more: Partial<Summary> = {}): Summary =>
  ({ session_id: "kiosk-7", state: "active", node_id: "a-1", setup_version: 0, ...more }) as Summary;
const changed = (more: Partial<Summary> = {}): Change => ({
  kind: "changed", sessionId: "kiosk-7", summary: summary(more),
});
const samples = (rows: [string, unknown, number][], isConflated = false): Change => ({
  kind: "samples", sessionId: "kiosk-7", rev: 9, samples: rows, isConflated,
});

describe("rows of the live tail", () => {
  it("tell every sample, as text whatever it is", () => {
    const rows = new RowMaker().rows(samples([["<b>", "<script>", 5], ["gear", { of: [1] }, 6], ["", "", 7]]));
    expect(rows.map((row) => row.text)).toEqual(["<b> = <script>", 'gear = {"of":[1]}', " = “”"]);
    expect(rows.map((row) => row.number)).toEqual([1, 2, 3]);
    expect(rows[0]).toMatchObject({ at: 5, kind: "sample", sessionId: "kiosk-7", about: { rev: 9 } });
  });

  it("tell of a session what is new, and nothing where nothing is", () => {
    const maker = new RowMaker(() => 100);
    maker.know(new Map([["kiosk-7", summary()]]));
    expect(maker.rows(changed())).toEqual([]);
    const [row] = maker.rows(changed({ state: "inactive", disconnect_reason: "transport_close" }));
    expect(row).toMatchObject({ at: 100, text: "state inactive, disconnect reason transport_close" });
    maker.rows({ kind: "removed", sessionId: "kiosk-7" });
    expect(maker.rows(changed())[0]?.text).toBe("new: state active, node id a-1");
  });

  it("tell commands by their status, and gaps", () => {
    const maker = new RowMaker(() => 1);
    const command = { session_id: "kiosk-7", command_id: "c", command: "reboot", status: "sent", at: 3 } as const;
    expect(maker.rows({ kind: "command", sessionId: "kiosk-7", command })[0]).toMatchObject({
      at: 3, text: "reboot: sent",
    });
    expect(maker.rows({ kind: "reset" })[0]).toMatchObject({ kind: "gap", sessionId: "" });
  });

  it("are short on the page and whole in the download", () => {
    const [row] = new RowMaker().rows(samples([["k", "x".repeat(5000), 1]], true));
    expect(row?.text.length).toBeLessThan(500);
    const line = JSON.parse(toNdjson([row as Row])) as Record<string, unknown>;
    expect(line).toEqual({
      at: 1, kind: "sample", session_id: "kiosk-7", key: "k", value: "x".repeat(5000), ts: 1, rev: 9, conflated: true,
    });
  });
});

describe("the filter", () => {
  const row = (kind: Kind, text: string): Row =>
    ({ number: 1, at: 1, kind, sessionId: "Kiosk-7", text, size: 0, about: {} });
  const kinds = new Set<Kind>(["sample"]);

  it("wants all words, in any letter case, in the id or the text", () => {
    const wanted = matcher({ words: " kiosk  SPEED ", kinds });
    expect([row("sample", "speed = 1"), row("sample", "gear = 1")].map(wanted)).toEqual([true, false]);
  });

  it("wants kinds, and gaps always", () => {
    const wanted = matcher({ words: "", kinds });
    expect([row("sample", ""), row("command", ""), row("gap", "")].map(wanted)).toEqual([true, false, true]);
  });
});
