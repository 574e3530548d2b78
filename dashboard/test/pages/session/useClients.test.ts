// @vitest-environment node
import { NotConnected } from "muster-client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { useClients } from "@/pages/session/useClients";
import { inScope, TestClient, testFeed } from "./support";

let client: TestClient;
vi.mock("@/stores/client", () => ({ useClient: () => client }));
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("who has a session open is read again by itself where it could not be read", async () => {
  client = new TestClient();
  const feed = testFeed();
  feed.change({ state: "active", active_clients: 1 });
  const clients = inScope(() => useClients(feed));
  client.answer(new NotConnected("away"), { clients: [{ client_id: "1", node_id: "n" }] });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(clients.value).toBeUndefined();
  await vi.advanceTimersByTimeAsync(10_000);
  expect([clients.value?.length, client.asked.length]).toEqual([1, 2]);
});
