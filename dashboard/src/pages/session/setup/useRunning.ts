// The setup that the device runs, which may be of an older version than the one that is saved.
import { computed, shallowRef, watch, type ComputedRef, type Ref } from "vue";
import { codeOf } from "@/client/errors";
import { useClient } from "@/stores/client";
import { readVersion, type Version } from "./versions";

export interface Running {
  /** undefined: it is not known, see `lack`. */
  readonly version: ComputedRef<Version | undefined>;
  /** `none`: the device reported no version. `gone`: the service does not keep it. `older`: this node cannot say it. */
  readonly lack: ComputedRef<"none" | "loading" | "gone" | "older" | "failed" | undefined>;
  readonly load: () => Promise<void>;
}

/** By the code of the error; a node of an earlier version knows no such path. */
const WHY: Readonly<Record<string, "gone" | "older">> = { version_not_found: "gone", invalid_request: "older" };

/** Follow what the device runs; `path`: of the setup. */
export function useRunning(saved: Readonly<Ref<Version | undefined>>, path: string): Running {
  const client = useClient();
  /** What was read or seen last. */
  const kept = shallowRef<Version>();
  /** A version that could not be read. */
  const failed = shallowRef<{ readonly version: number; readonly why: "gone" | "older" | "failed" }>();
  const reported = computed(() => saved.value?.reported ?? 0);

  const version = computed(() => {
    if (reported.value === 0) return undefined;
    return [saved.value, kept.value].find((one) => one?.version === reported.value);
  });
  const lack = computed(() => {
    if (version.value !== undefined) return undefined;
    if (reported.value === 0) return "none";
    if (failed.value?.version !== reported.value) return "loading";
    return failed.value.why;
  });

  async function load(): Promise<void> {
    const wanted = reported.value;
    if (wanted === 0 || version.value !== undefined) return;
    failed.value = undefined;
    try {
      const request = { method: "GET", path: `${path}/versions/${wanted}`, parse: (text: string): string => text };
      const found = readVersion(await client.request<string>(request));
      if (wanted === reported.value) kept.value = found;
    } catch (error) {
      if (wanted === reported.value) failed.value = { version: wanted, why: WHY[codeOf(error) ?? ""] ?? "failed" };
    }
  }

  watch(saved, (_, before) => {
    if (before !== undefined && before.version === reported.value) kept.value = before; // need not be read
  });
  watch(reported, () => void load());
  return { version, lack, load };
}
