// A command for many devices, and what becomes of it, device by device.
import type { Batch, BatchDevice } from "muster-client";
import { computed, onScopeDispose, ref, shallowRef } from "vue";
import { commandJson, newKey, type Wanted } from "@/client/commands";
import { useClient } from "@/stores/client";

const EVERY_MS = 1000;
/** Statuses of a command that has not ended. */
export const OPEN_STATUSES: readonly string[] = ["waiting", "queued", "sent", "delivered"];

// eslint-disable-next-line @typescript-eslint/explicit-function-return-type -- its parts say their types
export function useBulkCommand() {
  const client = useClient();
  const batch = shallowRef<Batch>();
  const devices = shallowRef<readonly BatchDevice[]>([]);
  const error = shallowRef<unknown>();
  const isSending = ref(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let run = 0;

  const open = computed(() => OPEN_STATUSES.reduce((sum, one) => sum + (batch.value?.statuses[one] ?? 0), 0));
  const isOver = computed(() => batch.value !== undefined && batch.value.state === "done" && open.value === 0);

  async function send(wanted: Wanted, ids: readonly string[]): Promise<void> {
    reset();
    const mine = run;
    isSending.value = true;
    try {
      const json = commandJson(wanted, { session_ids: ids });
      const headers = { "Idempotency-Key": newKey() };
      const made = await client.request<Batch>({ method: "POST", path: "/commands", json, headers });
      if (mine === run) await watchBatch(made.batch_id, mine);
    } catch (failure) {
      if (mine === run) error.value = failure;
    } finally {
      if (mine === run) isSending.value = false;
    }
  }

  /** Look again and again, until nothing is open; a look that fails is no end of the command. */
  async function watchBatch(id: string, mine: number): Promise<void> {
    try {
      const now = await client.operate((operator) => operator.bulk(id));
      const isNew = JSON.stringify(now.statuses) !== JSON.stringify(batch.value?.statuses);
      const all = isNew ? await devicesOf(id) : devices.value;
      if (mine !== run) return;
      [batch.value, devices.value, error.value] = [now, all, undefined];
    } catch (failure) {
      if (mine !== run) return;
      error.value = failure;
    }
    if (!isOver.value) timer = setTimeout(() => void watchBatch(id, mine), EVERY_MS);
  }

  const devicesOf = (id: string): Promise<BatchDevice[]> =>
    client.operate(async (operator) => {
      const found: BatchDevice[] = [];
      for await (const one of operator.bulkDevices(id)) found.push(one);
      return found;
    });

  /** Look no more; the command goes on. */
  function reset(): void {
    run += 1;
    clearTimeout(timer);
    [batch.value, devices.value, error.value, isSending.value] = [undefined, [], undefined, false];
  }

  onScopeDispose(reset);
  return { batch, devices, error, isSending, open, isOver, send, reset };
}
