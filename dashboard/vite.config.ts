import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vitest/config";
import { alarmParagraphs } from "./alarm_paragraphs.ts";
import { licences } from "./licences.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** The node that `npm run dev` talks to. */
const NODE = process.env["MUSTER_URL"] ?? "http://127.0.0.1:5000";
const proxied = { target: NODE, changeOrigin: true, ws: true, headers: { origin: NODE } };

export default defineConfig({
  base: "/dashboard/",
  plugins: [vue(), alarmParagraphs(at("../docs/operations.md")), licences("LICENSES.txt")],
  resolve: {
    alias: [
      { find: "@", replacement: at("./src") },
      { find: /^muster-client$/, replacement: at("../clients/js/src/index.ts") },
      { find: /^muster-client\//, replacement: at("../clients/js/src/") },
      { find: "#platform", replacement: at("../clients/js/src/storage/browser.ts") },
    ],
    dedupe: ["socket.io-client"], // of this folder: the client's own packages need not be installed
  },
  build: {
    outDir: at("../service/web/dashboard"),
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // which know light-dark()
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { fs: { allow: [at("..")] }, proxy: { "/api": proxied, "/socket.io": proxied, "/readyz": proxied } },
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.ts"],
    restoreMocks: true,
    unstubGlobals: true,
    isolate: false, // one page for all files of a worker: making one costs more than all tests
    maxWorkers: 2,
  },
});
