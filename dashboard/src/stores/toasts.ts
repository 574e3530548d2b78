// Short notes of what happened; errors stay until they are closed.
import { defineStore } from "pinia";
import { ref, watch } from "vue";
import { explain } from "@/client/errors";
import { visible } from "@/client/visible";
import { useAuth } from "./auth";

export interface Toast {
  readonly id: number;
  readonly kind: "done" | "note" | "error";
  readonly text: string;
}

const SHOWN_MS = 6000;
const MOST = 5;

export const useToasts = defineStore("toasts", () => {
  const toasts = ref<readonly Toast[]>([]);
  let last = 0;

  function add(kind: Toast["kind"], said: string): void {
    const id = ++last;
    const text = visible(said); // ids are in it
    toasts.value = [...toasts.value.filter((one) => one.text !== text), { id, kind, text }].slice(-MOST);
    if (kind !== "error") setTimeout(() => close(id), SHOWN_MS);
  }

  function close(id: number): void {
    toasts.value = toasts.value.filter((one) => one.id !== id);
  }

  watch(
    () => useAuth().people,
    () => (toasts.value = []),
    { flush: "sync" },
  );

  return {
    toasts,
    close,
    done: (text: string): void => add("done", text),
    note: (text: string): void => add("note", text),
    failed: (what: string, error: unknown, did: "read" | "act" = "act"): void =>
      add("error", `${what}: ${explain(error, did)}`),
  };
});
