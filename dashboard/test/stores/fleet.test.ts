import { createPinia, setActivePinia } from "pinia";
import { beforeEach, expect, it, vi } from "vitest";
import { useClient } from "@/stores/client";
import { useConnection } from "@/stores/connection";
import { useFleet } from "@/stores/fleet";
import { settled } from "../pages/session/support";

const asked: string[][] = [];
let answers: ((answer: unknown) => void)[];

beforeEach(() => {
  setActivePinia(createPinia());
  asked.length = 0;
  answers = [];
  vi.spyOn(useClient(), "get").mockImplementation((path) => {
    asked.push(new URLSearchParams(path.split("?")[1]).getAll("values"));
    return new Promise((resolve, reject) => {
      answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
    });
  });
});

it("fetches values of a column that was added while another one was fetched, and asks for none twice", async () => {
  const fleet = useFleet();
  void fleet.wantValues(["a"]);
  void fleet.wantValues(["a", "b"]);
  void fleet.wantValues(["b", "a"]); // another order of columns
  expect(asked).toEqual([["a"], ["a", "b"]]);
  for (const answer of answers) answer({ sessions: [], next: null });
  await settled();
  void fleet.wantValues(["a", "b", "c"]);
  expect(asked.at(-1)).toEqual(["c"]);
});

it("fetches again what could not be fetched", async () => {
  const fleet = useFleet();
  void fleet.wantValues(["a"]);
  answers[0]?.(new Error("away"));
  await settled();
  expect(fleet.valuesError).toBeDefined();
  void fleet.fetchValues();
  expect(asked).toEqual([["a"], ["a"]]);
  answers[1]?.({ sessions: [], next: null });
  await settled();
  expect(fleet.valuesError).toBeUndefined();
});

it("does not walk through a fleet that is too large to be loaded: its lists bring their values", () => {
  useConnection().isLarge = true;
  void useFleet().wantValues(["a"]);
  expect(asked).toEqual([]);
});
