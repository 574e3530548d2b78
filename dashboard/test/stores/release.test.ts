import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it, vi } from "vitest";
import * as release from "@/client/release";
import { useRelease } from "@/stores/release";

const OURS = "/dashboard/assets/index-a.js";
let loaded: string[];

function serve(script: string | undefined, status = 200): void {
  const answer = async (): Promise<Response> => {
    if (script === undefined) throw new TypeError("Failed to fetch");
    return Promise.resolve(new Response(`<script type="module" src="${script}"></script>`, { status }));
  };
  vi.stubGlobal("fetch", vi.fn(answer));
}

beforeEach(() => {
  sessionStorage.clear();
  setActivePinia(createPinia());
  const script = document.createElement("script");
  script.setAttribute("src", OURS);
  vi.spyOn(document, "querySelector").mockReturnValue(script); // in the document, it would be fetched
  loaded = [];
  vi.spyOn(location, "assign").mockImplementation((to) => void loaded.push(String(to)));
});

describe("the build of this page", () => {
  it("is asked for without a copy that the browser has", async () => {
    serve(OURS);
    expect(await release.askRelease()).toBe("same");
    expect(fetch).toHaveBeenCalledWith("/dashboard/", expect.objectContaining({ cache: "no-store" }));
  });

  it("is another one after an upgrade, and stays what is known where nobody answers", async () => {
    const store = useRelease();
    serve("/dashboard/assets/index-b.js");
    await store.look();
    expect(store.isOld).toBe(true);
    serve(undefined);
    await store.look();
    serve(OURS, 503);
    await store.look();
    expect(store.isOld).toBe(true);
    serve(OURS);
    await store.look();
    expect(store.isOld).toBe(false);
  });
});

describe("a page that could not be loaded", () => {
  it("is loaded whole where the node answers, once", async () => {
    const store = useRelease();
    serve("/dashboard/assets/index-b.js");
    await store.failed("/archive?tab=verify");
    expect(loaded).toEqual(["/dashboard/archive?tab=verify"]);
    await store.failed("/archive?tab=verify");
    expect(loaded).toHaveLength(1);
    expect(store.missing).toEqual({ path: "/archive?tab=verify", why: "broken" });
    await store.retry(); // as a person wants it
    expect(loaded).toHaveLength(2);
  });

  it("leaves the present page where nobody answers, and is said", async () => {
    const store = useRelease();
    serve(undefined);
    await store.failed("/nodes");
    await store.retry();
    expect(loaded).toEqual([]);
    expect(store.missing).toEqual({ path: "/nodes", why: "away" });
    store.forget();
    expect(store.missing).toBeUndefined();
  });
});
