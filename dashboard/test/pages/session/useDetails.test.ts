// @vitest-environment node
import { Refused } from "muster-client";
import { expect, test, vi } from "vitest";
import { useDetails } from "@/pages/session/useDetails";
import { inScope, settled, TestClient, testFeed } from "./support";

let client: TestClient;
vi.mock("@/stores/client", () => ({ useClient: () => client }));

test("a session is read of a node of an earlier version too, whole", async () => {
  client = new TestClient();
  const details = inScope(() => useDetails(testFeed()));
  client.answer(new Refused({ code: "invalid_request" }), { session_id: "kiosk-7", timeline: [] });
  await settled();
  expect(client.asked.map((one) => one.query)).toEqual([{ limit: 1 }, {}]);
  expect([details.session.value?.session_id, details.error.value]).toEqual(["kiosk-7", undefined]);
});
