// Gives pages what docs/operations.md says about each alarm, as it is when they are built: `virtual:alarms`.
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { parseAlarms } from "./src/pages/alarms/paragraphs.ts";

const ID = "virtual:alarms";
const RESOLVED = `\0${ID}`; // which no other plugin takes for a file

export function alarmParagraphs(file: string): Plugin {
  return {
    name: "alarm-paragraphs",
    resolveId: (id) => (id === ID ? RESOLVED : undefined),
    load(id) {
      if (id !== RESOLVED) return undefined;
      this.addWatchFile(file);
      return `export default ${JSON.stringify(parseAlarms(readFileSync(file, "utf8")))};`;
    },
  };
}
