// @vitest-environment node
import { Refused } from "muster-client";
import { beforeEach, expect, test, vi } from "vitest";
import { nextTick, ref } from "vue";
import { useKept } from "@/pages/session/charts/useKept";
import { inScope, settled, TestClient, testFeed } from "./support";

let client: TestClient;
vi.mock("@/stores/client", () => ({ useClient: () => client }));
beforeEach(() => (client = new TestClient()));

test("the page says how far back the samples go, and by which setting", async () => {
  const kept = inScope(() => useKept(testFeed(), ref(["a,b", "t"])));
  expect(client.asked[0]?.path).toBe("/sessions/kiosk-7/data?keys=a%2Cb&keys=t&step=31622400&agg=count");
  client.answer({
    setting: "sessions.history",
    kept: { "a,b": { oldest: 50, samples: 3, at_most: 100 }, t: { oldest: null, samples: 0, at_most: 500 } },
  });
  await settled();
  expect(kept.value).toEqual({ setting: "sessions.history", oldest: 50, atMost: 500, isFull: false });
});

test("of a service that does not say it the page says nothing, nor of an answer that was overtaken", async () => {
  const picked = ref(["t"]);
  const kept = inScope(() => useKept(testFeed(), picked));
  picked.value = ["u"];
  await nextTick();
  client.answerLast(new Refused({ code: "invalid_request" }));
  client.answer({ setting: "x", kept: { t: { oldest: 1, samples: 9, at_most: 9 } } });
  await settled();
  expect(kept.value).toBeUndefined();
});
