import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { effectScope, type EffectScope } from "vue";
import { usePages, type Page, type Pages } from "@/composables/usePages";

interface Item {
  readonly id: string;
  readonly rev: number;
}
let scope: EffectScope;
let answers: (Page<Item> | Error)[];
const load = vi.fn((_cursor: string | undefined): Promise<Page<Item>> => {
  const answer = answers.shift();
  return answer instanceof Late ? answer.promise : answer instanceof Error ? Promise.reject(answer) : page(answer);
});
/** An answer that comes when a test wants it to. */
class Late extends Error {
  answer: (page: Page<Item>) => void = () => undefined;
  readonly promise = new Promise<Page<Item>>((resolve) => (this.answer = resolve));
}
const page = (answer: Page<Item> | undefined): Promise<Page<Item>> =>
  answer === undefined ? Promise.reject(new Error("asked too often")) : Promise.resolve(answer);
const of = (ids: string[], next: string | null, rev = 0): Page<Item> => ({
  items: ids.map((id) => ({ id, rev })), next, total: null,
});

async function pages(...given: (Page<Item> | Error)[]): Promise<Pages<Item>> {
  answers = given;
  const made = scope.run(() => usePages(load, (item) => item.id));
  if (made === undefined) throw new Error("the scope has ended");
  await vi.waitFor(() => expect(made.isLoading.value && answers.length > 0).toBe(false));
  return made;
}
const ids = (made: Pages<Item>): string[] => made.items.value.map((item) => item.id);

beforeEach(() => {
  scope = effectScope();
  load.mockClear();
});
afterEach(() => scope.stop());

describe("a list of pages", () => {
  it("goes on where the last page ended, until there is none", async () => {
    const made = await pages(of(["a", "b"], "2"));
    answers = [of(["c"], null)];
    await made.more();
    expect([ids(made), made.hasMore.value]).toEqual([["a", "b", "c"], false]);
    expect(load.mock.calls.map(([cursor]) => cursor)).toEqual([undefined, "2"]);
    await made.more();
    expect(load).toHaveBeenCalledTimes(2);
  });

  it("reads over pages on which the filter left nothing", async () => {
    const made = await pages(of([], "2"), of([], "3"), of(["z"], null));
    await vi.waitFor(() => expect(ids(made)).toEqual(["z"]));
  });

  it("shows what is on two pages once, as the later one has it", async () => {
    const made = await pages(of(["a", "b"], "2"));
    answers = [of(["b", "c"], null, 7)];
    await made.more();
    expect(made.items.value).toEqual([{ id: "a", rev: 0 }, { id: "b", rev: 7 }, { id: "c", rev: 7 }]);
  });

  it("keeps what it has where a page cannot be read, and can try again", async () => {
    const made = await pages(of(["a"], "2"));
    answers = [new Error("away")];
    await made.more();
    expect([ids(made), made.error.value]).toEqual([["a"], new Error("away")]);
    answers = [of(["b"], null)];
    await made.more();
    expect([ids(made), made.error.value]).toEqual([["a", "b"], undefined]);
  });

  it("does not take a late answer to a filter of before", async () => {
    const late = new Late();
    const made = await pages(late);
    answers = [of(["new"], null)];
    await made.restart();
    late.answer(of(["old"], null));
    await late.promise;
    expect(ids(made)).toEqual(["new"]);
  });
});
