import { mount, type VueWrapper } from "@vue/test-utils";
import { NotConnected, Refused, type FleetState } from "muster-client";
import { createPinia, setActivePinia } from "pinia";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import ErrorState from "@/components/states/ErrorState.vue";
import { useConnection } from "@/stores/connection";

let shown: VueWrapper | undefined;

function show(error: unknown, did: "read" | "act" = "read"): VueWrapper {
  return (shown = mount(ErrorState, { props: { what: "It could not be read", error, did } }));
}

async function be(state: FleetState): Promise<void> {
  const connection = useConnection();
  connection.snapshot = { ...connection.snapshot, state };
  await vi.advanceTimersByTimeAsync(0);
}

const retries = (): number => shown?.emitted("retry")?.length ?? 0;

beforeEach(() => {
  setActivePinia(createPinia());
  vi.useFakeTimers();
});
afterEach(() => {
  shown?.unmount();
  vi.useRealTimers();
});

describe("what could not be read", () => {
  it("is read again by itself when the service is back, and as often as that fails", async () => {
    await be("stale");
    show(new Refused({ code: "store_unavailable", message: "Redis is away.", retryable: true }));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(retries()).toBe(0);
    await be("live");
    await vi.advanceTimersByTimeAsync(3_000);
    expect(retries()).toBe(1);
    await shown?.setProps({ error: new NotConnected("cut") });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(retries()).toBe(2);
  });

  it.each([
    [new Refused({ code: "not_allowed", message: "No." }), "read"],
    [new NotConnected("cut"), "act"],
  ] as const)("is not, where that does not help or would do something: %s", async (error, did) => {
    await be("live");
    show(error, did);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(retries()).toBe(0);
  });

  it("is not any more when the page was left", async () => {
    await be("live");
    show(new NotConnected("cut")).unmount();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(retries()).toBe(0);
  });
});
