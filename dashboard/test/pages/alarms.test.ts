import { mount } from "@vue/test-utils";
import alarms from "virtual:alarms";
import { describe, expect, it } from "vitest";
import AlarmWords from "@/pages/alarms/AlarmWords.vue";
import { parseAlarms } from "@/pages/alarms/paragraphs";
import api from "../../../docs/api.md?raw";
import operations from "../../../docs/operations.md?raw";

describe("what the docs say about alarms", () => {
  it("is built in for every alarm of the API, with what to do", () => {
    const table = /\| alarm \| severity \|[\s\S]*?\n\n/.exec(`${api}\n\n`)?.[0] ?? "";
    const names = [...table.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1] ?? "");
    expect(names.length).toBeGreaterThan(9);
    for (const name of names) {
      const labels = (alarms[name] ?? []).map(({ label }) => label).filter((label) => label !== "");
      expect(labels, name).toEqual(["Means", "Clients notice", "Look", "Do"]);
    }
    expect(Object.keys(alarms).sort()).toEqual(names.sort());
  });

  it("loses no word", () => {
    const section = /### `archive_failing`[^\n]*\n([\s\S]*?)\n### /.exec(operations)?.[1] ?? "";
    const bare = (text: string): string => text.replace(/\]\([^)]*\)|^\*\w+\*$|[*`[\].:\s]/gm, "");
    const shown = (alarms["archive_failing"] ?? [])
      .map(({ label, words }) => label + words.map(({ text }) => text).join(""))
      .join("");
    expect(bare(shown)).toBe(bare(section));
  });

  it("is text: nothing in it becomes an element", () => {
    const section = "### `x_y`\n*critical*\n\n* **Do.** `<b>` and <img> [see](#x) **now**.\n\n";
    const made = parseAlarms(`## Alarms\n\n${section}## Z\n`);
    expect(made["x_y"]?.[0]).toEqual({
      label: "Do",
      words: [
        { kind: "code", text: "<b>" },
        { text: " and <img> see " },
        { kind: "strong", text: "now" },
        { text: "." },
      ],
    });
  });

  it("is not known of alarms of later versions, which the page says", () => {
    const words = mount(AlarmWords, { props: { name: "of_a_later_version" } });
    expect(words.text()).toContain("does not know this alarm");
  });
});
