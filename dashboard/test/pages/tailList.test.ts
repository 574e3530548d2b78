import { createPinia } from "pinia";
import { mount, type VueWrapper } from "@vue/test-utils";
import { expect, it, vi } from "vitest";
import { nextTick } from "vue";
import TailList from "@/pages/tail/TailList.vue";
import type { Row } from "@/pages/tail/rows";

const ROW_PX = 28;
const SEEN_PX = 280;
let rows: Row[] = [];

/** A list in a window that is ten rows high. */
function shown(): { list: VueWrapper; box: HTMLElement } {
  rows = [];
  const list = mount(TailList, { props: { rows }, global: { plugins: [createPinia()], stubs: { RouterLink: true } } });
  const box = list.element as HTMLElement;
  vi.spyOn(box, "clientHeight", "get").mockReturnValue(SEEN_PX);
  vi.spyOn(box, "scrollHeight", "get").mockImplementation(() => rows.length * ROW_PX);
  box.scrollTo = ((to: ScrollToOptions) => (box.scrollTop = Math.min(to.top ?? 0, endOf()))) as never;
  return { list, box };
}
const endOf = (): number => Math.max(0, rows.length * ROW_PX - SEEN_PX);

async function come(list: VueWrapper, count: number): Promise<void> {
  const news = Array.from({ length: count }, (_, at) => ({
    number: rows.length + at, at: 1, kind: "sample", sessionId: "", text: "", about: {}, size: 1,
  }));
  rows = [...rows, ...(news as unknown as Row[])];
  await list.setProps({ rows });
  await nextTick();
}

it("follows what comes, also where more came before the browser said that it had scrolled", async () => {
  const { list, box } = shown();
  await come(list, 100);
  expect(box.scrollTop).toBe(endOf());
  rows = [...rows, ...rows]; // they are in the page, and the end is elsewhere by then
  box.dispatchEvent(new Event("scroll"));
  await come(list, 100);
  expect(box.scrollTop).toBe(endOf());
});

it("stands where somebody scrolls up, and follows again from the end on", async () => {
  const { list, box } = shown();
  await come(list, 100);
  box.scrollTop = 500;
  box.dispatchEvent(new Event("scroll"));
  await come(list, 100);
  expect(box.scrollTop).toBe(500);
  box.scrollTop = endOf();
  box.dispatchEvent(new Event("scroll"));
  await come(list, 100);
  expect(box.scrollTop).toBe(endOf());
});
