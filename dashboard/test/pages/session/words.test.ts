// @vitest-environment node
import { expect, test } from "vitest";
import { idOf, sessionLink } from "@/client/links";
import { cut, inLine, visible, visibleLines } from "@/client/visible";
import { isTyped } from "@/pages/session/actions/typed";
import { optionsOf, shortNumber, timeLabels } from "@/pages/session/charts/options";
import { firstWindowS, move, rangeOf, still, zoom } from "@/pages/session/charts/view";
import { authorOf, entriesOf, reasonWords, spansAway, type RawEvent } from "@/pages/session/timeline/events";

const by = { who: "ana", role: "operator", via: "rest" };

test("an entry says what happened, why, where and by whom", () => {
  const [newest, older, first] = entriesOf([
    { at: "2026-11-29T12:00:00Z", event: "connected", node_id: "n1" },
    { at: "2026-11-29T12:01:00Z", event: "inactive", reason: "overdue" },
    { at: "2026-11-29T12:02:00Z", event: "something_new", by, colour: { r: 1 } },
  ]);
  expect(first).toMatchObject({ title: "Connected", tone: "good", node: "n1", reason: undefined, by: undefined });
  expect(older?.reason).toContain("no report");
  expect(newest).toMatchObject({
    title: "something new",
    by: "ana (operator, over REST)",
    more: [["colour", '{"r":1}']],
  });
});

test.each([
  [undefined, undefined],
  [null, undefined],
  ["ana", undefined],
  [{}, undefined],
  [{ who: "", role: "admin", via: "job" }, "admin, in a job"],
  [{ who: "bo" }, "bo"],
  [{ who: 7, via: "x" }, "7 (x)"],
])("who did it is never made up: %j", (who, expected) => {
  expect(entriesOf([{ at: "", event: "created", by: who }])[0]?.by).toBe(expected);
});

test.each([
  ["kicked", "disconnected by an operator"],
  ["overdue", "no report in three times the interval that it promised"],
  ["transport close", "transport close"],
  ["of_later", "of later"],
])("the reason %s is said as: %s", (reason, words) => {
  expect(reasonWords(reason)).toBe(words);
});

test.each([
  [true, null, 300],
  [true, 10, 300],
  [true, 60, 900],
  [true, 3600, 86_400],
  [true, 86_400, undefined],
  [false, 10, undefined],
])("charts of a device that is there (%s) and reports every %s s begin with %s s", (isActive, everyS, windowS) => {
  expect(firstWindowS(isActive, everyS)).toBe(windowS);
});

test("the last label of a time axis has room, also one with milliseconds", () => {
  const hooks = {
    colours: () => ({ line: "", text: "", grid: "", away: "" }),
    spans: () => [],
    onZoom: () => undefined,
    onReset: () => undefined,
    onPoint: () => undefined,
  };
  const right = optionsOf(600, 150, "test", hooks).padding?.[1];
  if (typeof right !== "function") throw new Error("no function");
  const of = (seconds: number): unknown => Reflect.apply(right, 0, [{ scales: { x: { min: 0, max: seconds } } }]);
  expect(of(300)).toBeGreaterThanOrEqual(27); // half of "23:59:59"
  expect(of(10)).toBeGreaterThanOrEqual(40); // half of "23:59:59.999"
});

test("the author of a version is who changed it last", () => {
  const events = [
    { at: "", event: "setup_changed", version: 2, by },
    { at: "", event: "setup_changed", version: 3 },
  ];
  expect([authorOf(events, 2), authorOf(events, 3), authorOf(events, 9)]).toEqual([
    "ana (operator, over REST)",
    undefined,
    undefined,
  ]);
});

test("a device is away from its disconnect to its return, whatever happens in between", () => {
  const event = (second: number, name: string): RawEvent => ({
    at: new Date(second * 1000).toISOString(),
    event: name,
  });
  const events = [
    event(1, "connected"),
    event(5, "disconnected"),
    event(6, "inactive"),
    event(7, "command_queued"),
    event(9, "connected"),
    event(10, "superseded"),
    event(10, "connected"),
    event(20, "kicked"),
  ];
  expect(spansAway(events)).toEqual([
    { from: 5, to: 9 },
    { from: 20, to: Infinity },
  ]);
});

test("nothing that is shown is invisible, or turns what stands beside it", () => {
  expect(visible("a\u202eb\u0000c\u200bd\n\u2028\u{e0041}")).toBe("a\\u202eb\\u0000c\\u200bd\\n\\u2028\\ue0041");
  expect(visible("שלום 👩‍👩‍👧 <b>")).toBe("שלום 👩‍👩‍👧 <b>");
  expect([" ", "\u00a0\u3000", "a  b"].map(visible)).toEqual(["␣", "␣␣", "a  b"]);
  expect(visibleLines("a\n \nb")).toBe("a\n \nb");
  for (const filler of ["\u034f", "\u115f", "\u3164", "\uffa0", "\u{1d173}"]) expect(visible(filler)).toMatch(/^\\u/);
  expect(visible("a\u200d\u200db é\u200d\u200d\u200d")).toBe("a\\u200d\\u200db é\u200d\u200d\\u200d"); // in a name
  expect(visible(`e${"\u0301".repeat(10)}`)).toBe(`e${"\u0301".repeat(8)}\\u0301\\u0301`); // no tower
  expect(inLine({ a: "\u202e" })).toBe('{"a":"\\u202e"}');
  expect([inLine("x".repeat(500)).length, inLine(undefined), inLine(null)]).toEqual([200, "", "null"]);
  expect(cut("ab😀cd", 4)).toBe("ab…"); // not half of a character
});

test.each(["kiosk-7", "a/b", ".", "..", "%2e%2e", "\u007f.", "?x#y"])("the address of %j leads back to it", (id) => {
  const { params } = sessionLink(id) as { params: { id: string } };
  expect(idOf(params.id)).toBe(id);
  expect([".", ".."]).not.toContain(params.id);
});

test("an id is typed as it is seen", () => {
  expect([isTyped("kiosk-7", "kiosk-7"), isTyped("kiosk-7", " kiosk-7 "), isTyped("kiosk-7", "kiosk")]).toEqual([
    true,
    true,
    false,
  ]);
  expect([isTyped("a\nb\u202e", "ab"), isTyped("a\nb", "a\\nb"), isTyped("é", "e\u0301")]).toEqual([true, true, true]);
  expect([isTyped("x".repeat(256), "x".repeat(40)), isTyped("x".repeat(256), "x".repeat(39))]).toEqual([true, false]);
  expect([isTyped("\u200b", ""), isTyped("\u200b", "\\u200b")]).toEqual([false, true]);
});

test("a live window follows the present, and has no room for what never was", () => {
  expect(rangeOf({ kind: "live", windowS: 60 }, 1000, 500)).toEqual({ from: 940, to: 1000 });
  expect(rangeOf({ kind: "live", windowS: 60 }, 1000, 970)).toEqual({ from: 970, to: 1000 });
  expect(rangeOf({ kind: "live", windowS: undefined }, 1000, 500)).toEqual({ from: 500, to: 1000 });
  expect(rangeOf({ kind: "live", windowS: 60 }, 1000, undefined)).toEqual({ from: 940, to: 1000 });
  expect(rangeOf({ kind: "live", windowS: 60 }, 1000, 999)).toEqual({ from: 990, to: 1000 });
});

test("one that stands still is zoomed and moved around its middle, down to a bound", () => {
  expect(zoom({ from: 0, to: 100 }, 0.5)).toEqual({ kind: "still", from: 25, to: 75 });
  expect(move({ from: 0, to: 100 }, -0.5)).toEqual({ kind: "still", from: -50, to: 50 });
  const least = still({ from: 5, to: 5 });
  expect(least.kind === "still" && least.to - least.from).toBeCloseTo(0.01);
});

test("labels of axes are short", () => {
  expect([0, 0.5, 99_999, 123_456, -2e9, 1e300, 1e-300, 0.1 + 0.2].map(shortNumber)).toEqual([
    "0",
    "0.5",
    "99999",
    "123.5K",
    "-2B",
    "1.0e300",
    "1.0e-300",
    "0.3",
  ]);
  const noon = new Date(2026, 10, 29, 12, 0, 5).getTime() / 1000;
  expect([timeLabels([noon], 0.5), timeLabels([noon], 5), timeLabels([noon], 60)]).toEqual([
    ["12:00:05.000"],
    ["12:00:05"],
    ["12:00"],
  ]);
  expect(timeLabels([new Date(2026, 10, 29).getTime() / 1000], 3600)).toEqual(["29 Nov"]);
});
