// A command for many devices, and what becomes of it, device by device. It is kept while the page is open: who looks at
// a device that failed comes back to the others.
import { Refused, type Batch, type BatchDevice } from "muster-client";
import { defineStore } from "pinia";
import { computed, ref, shallowRef, watch } from "vue";
import { commandJson, newKey, type Wanted } from "@/client/commands";
import { useAuth } from "./auth";
import { useClient } from "./client";

const EVERY_MS = 1000;
/** Later, when what is open waits for devices that are away. */
const PATIENT_AFTER_MS = 60_000;
const PATIENT_EVERY_MS = 5000;
/** So many devices are shown at a time while they are read for the first time. */
const PART = 500;
/** Statuses of a command that has not ended. */
export const OPEN_STATUSES: readonly string[] = ["waiting", "queued", "sent", "delivered"];

/** Of a batch, what is shown of it. */
export type Progress = Pick<Batch, "batch_id" | "command" | "total" | "state" | "statuses">;
type Sent = Pick<Batch, "batch_id">;

export const useBulk = defineStore("bulk", () => {
  const auth = useAuth();
  const client = useClient();
  const batch = shallowRef<Progress>();
  const devices = shallowRef<readonly BatchDevice[]>([]);
  const error = shallowRef<unknown>();
  const isSending = ref(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let run = 0;
  let sentAt = 0;
  let listed = ""; // the statuses when the devices were read
  let reading: number | undefined; // the run whose devices are being read
  /** What was sent, and had no answer. */
  let unanswered: { readonly json: string; readonly key: string } | undefined;

  const open = computed(() => OPEN_STATUSES.reduce((sum, one) => sum + (batch.value?.statuses[one] ?? 0), 0));
  const ended = computed(() => {
    const counts = Object.entries(batch.value?.statuses ?? {});
    return counts.reduce((sum, [status, count]) => sum + (OPEN_STATUSES.includes(status) ? 0 : count), 0);
  });
  const isOver = computed(() => batch.value !== undefined && batch.value.state === "done" && open.value === 0);

  async function send(wanted: Wanted, ids: readonly string[]): Promise<void> {
    reset();
    const mine = run;
    isSending.value = true;
    sentAt = Date.now();
    try {
      const id = await post(commandJson(wanted, { session_ids: ids }));
      if (mine !== run) return;
      batch.value = { batch_id: id, command: wanted.command, total: ids.length, state: "queued", statuses: {} };
      await watchBatch(id, mine);
    } catch (failure) {
      if (mine === run) error.value = failure;
    } finally {
      if (mine === run) isSending.value = false;
    }
  }

  /** Return the id of the batch; what had no answer, and is sent again as it was, is the same batch. */
  async function post(json: string): Promise<string> {
    const key = unanswered?.json === json ? unanswered.key : newKey();
    unanswered = { json, key };
    try {
      const headers = { "Idempotency-Key": key };
      const sent = await client.request<Sent>({ method: "POST", path: "/commands", json, headers });
      unanswered = undefined;
      return sent.batch_id;
    } catch (failure) {
      if (failure instanceof Refused) unanswered = undefined;
      throw failure;
    }
  }

  /** Look again and again, until nothing is open; a look that fails is no end of the command. */
  async function watchBatch(id: string, mine: number): Promise<void> {
    try {
      const now = await client.consult((operator) => operator.bulk(id));
      if (mine !== run) return;
      [batch.value, error.value] = [now, undefined];
      void readDevices(id, mine);
    } catch (failure) {
      if (mine !== run) return;
      error.value = failure;
    }
    const everyMs = Date.now() - sentAt < PATIENT_AFTER_MS ? EVERY_MS : PATIENT_EVERY_MS;
    if (!isOver.value || !isListed()) timer = setTimeout(() => void watchBatch(id, mine), everyMs);
  }

  const isListed = (): boolean => listed === JSON.stringify(batch.value?.statuses);

  /** Read what became of each device, if that has changed; of very many it takes longer than a look at the counts. */
  async function readDevices(id: string, mine: number): Promise<void> {
    if (reading === mine || isListed()) return;
    reading = mine;
    const statuses = JSON.stringify(batch.value?.statuses);
    try {
      const all = await devicesOf(id, mine);
      if (mine !== run) return;
      [devices.value, listed] = [all, statuses];
      if (isOver.value && isListed()) clearTimeout(timer);
    } catch (failure) {
      if (mine === run) error.value = failure;
    } finally {
      if (reading === mine) reading = undefined;
    }
  }

  const devicesOf = (id: string, mine: number): Promise<BatchDevice[]> =>
    client.consult(async (operator) => {
      const found: BatchDevice[] = [];
      for await (const one of operator.bulkDevices(id)) {
        found.push(one);
        const isPart = found.length % PART === 0 && found.length > devices.value.length;
        if (isPart && mine === run) devices.value = [...found]; // rather some than none
      }
      return found;
    });

  /** Look no more; the command goes on. */
  function reset(): void {
    run += 1;
    clearTimeout(timer);
    listed = "";
    [batch.value, devices.value, error.value, isSending.value] = [undefined, [], undefined, false];
  }

  watch(() => auth.token, reset); // of somebody else
  return { batch, devices, error, isSending, ended, isOver, send, reset };
});
