// @vitest-environment node
import { expect, test } from "vitest";
import { exportPath, fileName, spanOf } from "@/pages/session/export/export";

test("paths take any id, key and time", () => {
  expect(exportPath("..")).toBe("/sessions/%7F../data");
  expect(exportPath("a/b?c", { key: "x&y/z" })).toBe("/sessions/a%2Fb%3Fc/data?keys=x%26y%2Fz");
  const hour = Date.UTC(2026, 10, 29, 17);
  expect(exportPath("a", { since: hour, until: hour + 3_600_000 })).toBe(
    "/sessions/a/data?since=2026-11-29T17%3A00%3A00.000Z&until=2026-11-29T18%3A00%3A00.000Z",
  );
});

test("a time is counted back from now, or between two local times that may be left out", () => {
  const now = Date.UTC(2026, 10, 29, 17);
  expect(spanOf("all", "2026-11-29T17:00", "", now)).toEqual({});
  expect(spanOf("hour", "", "", now)).toEqual({ since: now - 3_600_000 });
  const from = new Date(2026, 10, 29, 17, 5).getTime();
  expect(spanOf("between", "2026-11-29T17:05", "", now)).toEqual({ since: from, until: undefined });
});

test.each([
  ["kiosk-7", "kiosk-7"],
  ["../../etc/passwd", "etc_passwd"],
  ["\u202egpj.exe", "gpj.exe"],
  ["א", "session"],
  ["", "session"],
  [".hidden", "hidden"],
  ["a".repeat(300), "a".repeat(80)],
  ["CON:NUL|*?", "CON_NUL_"],
])("the file of %j is called %s…", (id, name) => {
  expect(fileName(id, "csv", new Date(Date.UTC(2026, 10, 29, 17, 5, 9)))).toBe(`${name}-20261129-170509Z.csv`);
});
