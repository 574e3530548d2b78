// Builds the package into dist: ESM and types by tsc, CommonJS from it, and one file for pages.
import { build, transform } from "esbuild";
import { execFileSync } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
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
// The nearest package.json decides how files are read, and what `#platform` is.
const platform = { node: "./storage/node.js", default: "./storage/browser.js" };
writeFileSync(at("dist/cjs/package.json"), JSON.stringify({ type: "commonjs", imports: { "#platform": platform } }));

const bundle = { bundle: true, minify: true, format: "esm", platform: "browser", target: "es2022", metafile: true };
const made = await build({ ...bundle, entryPoints: [at("dist/esm/index.js")], outfile: at("dist/muster-client.js") });

// The licences of what is in it.
const packages = Object.keys(made.metafile.inputs).map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
const notices = [...new Set(packages.filter(Boolean))].sort().map((name) => {
  const folder = at("node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json")));
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  const words = file === undefined ? "MIT" : readFileSync(join(folder, file), "utf8").trim();
  return `${name} ${version}\n\n${words.replaceAll("*/", "* /").replace(/[ \t]+$/gm, "")}`;
});
const own = readFileSync(at("LICENSE"), "utf8").trim();
const comment = `/*\n${[`muster-client\n\n${own}`, ...notices].join("\n\n---\n\n")}\n*/\n`;
appendFileSync(at("dist/muster-client.js"), comment);
