// @vitest-environment node
import { expect, test } from "vitest";
import { exportPath, fileName } from "@/pages/session/export/export";

test("paths take any id and key", () => {
  expect(exportPath("..")).toBe("/sessions/%7F../data");
  expect(exportPath("a/b?c", "x&y/z")).toBe("/sessions/a%2Fb%3Fc/data/x%26y%2Fz");
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
