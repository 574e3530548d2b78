// Runs a page in Node.js: `node page.mjs <address of the page> <folder with the module ws>`.
//
// Modules are fetched, and the network is used, as a browser does it: with the page's origin, and another origin's
// answers only where they allow it. The document knows what the pages of this repository use. What each element with
// an id says is written to stdout as JSON whenever something was drawn; a line `{"id", "event", …}` on stdin changes
// fields of an element and dispatches an event to it.
import { createRequire, register } from "node:module";
import { createInterface } from "node:readline";

const [address, folder] = process.argv.slice(2);
globalThis.location = new URL(address);
globalThis.sessionStorage = { getItem: () => null };

const bareFetch = globalThis.fetch;
globalThis.fetch = async (url, options = {}) => {
  const target = new URL(url, location);
  const headers = new Headers(options.headers);
  headers.set("Origin", location.origin);
  const response = await bareFetch(target, { ...options, headers });
  const allowed = response.headers.get("Access-Control-Allow-Origin");
  if (target.origin !== location.origin && allowed !== location.origin) throw new TypeError(`CORS: ${target}`);
  return response;
};
const { WebSocket } = createRequire(`${folder}/`)("ws");
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { origin: location.origin });
  }
};
const hooks = `
const origin = ${JSON.stringify(location.origin)};
export function resolve(name, context, next) {
  const base = context.parentURL ?? "";
  if (/^https?:/.test(name) || base.startsWith("http")) return { url: new URL(name, base || undefined).href, shortCircuit: true };
  return next(name, context);
}
export async function load(url, context, next) {
  if (!url.startsWith("http")) return next(url, context);
  const response = await fetch(url, { headers: { Origin: origin } });
  const isAllowed = response.headers.get("Access-Control-Allow-Origin") === origin
    && response.headers.get("Cross-Origin-Resource-Policy") === "cross-origin";
  if (!response.ok || (new URL(url).origin !== origin && !isAllowed)) throw new TypeError("refused: " + url);
  return { format: "module", source: await response.text(), shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

class FakeElement extends EventTarget {
  children = [];
  dataset = {};
  attributes = {};
  value = "";
  parent = null;
  #text = "";
  get textContent() { return this.#text + this.children.map((one) => one.textContent).join(" "); }
  set textContent(text) { this.children = []; this.#text = text; }
  get tBodies() { return [this]; }
  get isConnected() { return this.parent !== null; }
  get childElementCount() { return this.children.length; }
  get lastElementChild() { return this.children.at(-1); }
  setAttribute(name, value) { this.attributes[name] = value; }
  append(...made) { for (const one of made) this.children.push(adopted(this, one)); }
  prepend(...made) { this.children.unshift(...made.map((one) => adopted(this, one))); }
  replaceChildren(...made) { this.#text = ""; this.children = []; this.append(...made); }
  remove() { this.parent.children.splice(this.parent.children.indexOf(this), 1); this.parent = null; }
  closest() { return this; }
}

function adopted(parent, one) {
  const child = one instanceof FakeElement ? one : Object.assign(new FakeElement(), { textContent: String(one) });
  child.parent = parent;
  return child;
}

const elements = new Map();
globalThis.document = {
  getElementById(id) {
    if (!elements.has(id)) elements.set(id, new FakeElement());
    return elements.get(id);
  },
  createElement: () => new FakeElement(),
};
globalThis.requestAnimationFrame = (draw) => setTimeout(draw, 5);
globalThis.cancelAnimationFrame = clearTimeout;
let told = "";
setInterval(() => {
  const shown = JSON.stringify(Object.fromEntries([...elements].map(([id, one]) => [id, one.textContent])));
  if (shown !== told) console.log((told = shown));
}, 20);

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, event, child, ...fields } = JSON.parse(line);
  const element = Object.assign(document.getElementById(id), fields);
  if (event === undefined) return;
  const target = child === undefined ? element : element.children.find((one) => one.textContent.includes(child));
  const sent = new Event(event, { cancelable: true });
  Object.defineProperty(sent, "target", { value: target });
  element.dispatchEvent(sent);
}).on("close", () => process.exit(0));

const page = await (await fetch(address)).text();
const [, attributes, inline] = /<script type="module"([^>]*)>(.*?)<\/script>/s.exec(page);
const source = /src="([^"]+)"/.exec(attributes)?.[1];
await import(source === undefined ? `data:text/javascript,${encodeURIComponent(inline)}` : new URL(source, address).href);
