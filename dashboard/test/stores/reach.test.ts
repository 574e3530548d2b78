import { createPinia, setActivePinia } from "pinia";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { effectScope } from "vue";
import { useRelease } from "@/stores/release";

const [A, B] = ["http://a:1", "http://b:1"];
const meta = (nodes: string): string => `<meta name="muster-nodes" content="${nodes}" />`;
let served: string | undefined;
let loaded: string[];

function pageOf(nodes: string | undefined): void {
  document.head.innerHTML = nodes === undefined ? "" : meta(nodes);
}

beforeEach(() => {
  sessionStorage.clear();
  setActivePinia(createPinia());
  [served, loaded] = [meta(`${A} ws://a:1 ${B} ws://b:1`), []];
  vi.stubGlobal("fetch", vi.fn(async () => {
    if (served === undefined) throw new TypeError("Failed to fetch");
    return Promise.resolve(new Response(`<head>${served}</head>`));
  }));
  vi.spyOn(location, "assign").mockImplementation((to) => void loaded.push(String(to)));
  vi.spyOn(document, "hidden", "get").mockReturnValue(true);
});
afterEach(() => pageOf(undefined));

describe("a node that came after the page", () => {
  it("is no matter where the page may connect to it, or does not know", async () => {
    const store = useRelease();
    for (const nodes of [`${A} ws://a:1 ${B} ws://b:1`, undefined]) {
      pageOf(nodes);
      await store.reach([location.origin, A, B]);
      expect(store.isNarrow).toBe(false);
    }
    expect(fetch).not.toHaveBeenCalled();
  });

  it("is a reason to load a page only where that helps", async () => {
    const store = useRelease();
    pageOf(`${A} ws://a:1`);
    served = meta(A); // this node does not know the other one yet
    await store.reach([A, B]);
    expect(store.isNarrow).toBe(false);
    served = undefined; // it is gone: loading would leave nothing
    await store.reach([A, B]);
    expect(store.isNarrow).toBe(false);
    served = meta(`${A} ${B}`);
    await store.reach([A, B]);
    expect(store.isNarrow).toBe(true);
    await store.reach([A]); // it has left again
    expect(store.isNarrow).toBe(false);
  });

  it("has a hidden page load itself, once, and not while something would be lost", async () => {
    const store = useRelease();
    const scope = effectScope();
    scope.run(() => store.hold(() => true));
    pageOf(A);
    await store.reach([A, B]);
    store.widen("/?q=x");
    expect(loaded).toEqual([]);
    scope.stop();
    const dialog = document.createElement("dialog");
    dialog.setAttribute("open", "");
    document.body.append(dialog);
    store.widen("/?q=x");
    expect(loaded).toEqual([]);
    dialog.remove();
    store.widen("/?q=x");
    store.widen("/?q=x"); // not again and again
    expect(loaded).toEqual(["/dashboard/?q=x"]);
  });

  it("does not take a page away from who looks at it", async () => {
    const store = useRelease();
    pageOf(A);
    await store.reach([A, B]);
    vi.spyOn(document, "hidden", "get").mockReturnValue(false);
    store.widen("/");
    expect(loaded).toEqual([]);
  });
});
