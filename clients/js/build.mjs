// Builds the package into dist: ESM and types by tsc, CommonJS from it, and one file for pages.
// `node build.mjs`; `node build.mjs FILE` writes the file for pages there too.
import { build, transform } from "esbuild";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const at = (...parts) => join(here, ...parts);

rmSync(at("dist"), { recursive: true, force: true });
execFileSync(process.execPath, [at("node_modules/typescript/bin/tsc"), "-p", at("tsconfig.json")], { stdio: "inherit" });

for (const name of readdirSync(at("dist/esm"), { recursive: true })) {
  const target = at("dist/cjs", name);
  if (name.endsWith(".d.ts")) {
    cpSync(at("dist/esm", name), target);
  } else if (name.endsWith(".js")) {
    const { code } = await transform(readFileSync(at("dist/esm", name)), { format: "cjs", target: "node20" });
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, code);
  }
}
writeFileSync(at("dist/cjs/package.json"), '{ "type": "commonjs" }\n');

const page = {
  entryPoints: [at("dist/esm/index.js")],
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  legalComments: "inline",
};
await build({ ...page, outfile: at("dist/muster-client.js") });
if (process.argv[2]) cpSync(at("dist/muster-client.js"), process.argv[2]);
