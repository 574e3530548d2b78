// Writes the licences of the packages that are in the build beside it.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const FOLDER = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/;

export function licences(fileName: string): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle(_options, bundle) {
      const found = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        const modules = chunk.type === "chunk" ? chunk.moduleIds : [];
        for (const id of modules) {
          const folder = FOLDER.exec(id)?.[0].replace(/^\0/, "");
          if (folder !== undefined) found.add(folder);
        }
      }
      const source = [...new Set([...found].map(notice))].sort().join("\n---\n\n");
      this.emitFile({ type: "asset", fileName, source });
    },
  };
}

function notice(folder: string): string {
  const text = readFileSync(join(folder, "package.json"), "utf8");
  const { name, version, license } = JSON.parse(text) as Record<string, string>;
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  const words = file === undefined ? String(license) : readFileSync(join(folder, file), "utf8").trim();
  return `${name} ${version}\n\n${words}\n`;
}
