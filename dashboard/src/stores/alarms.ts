// What is wrong now, and what was.
import type { Alarms } from "muster-client";
import { defineStore } from "pinia";
import { useClient } from "./client";

export const useAlarms = defineStore("alarms", () => {
  const client = useClient();
  return { load: (): Promise<Alarms> => client.get<Alarms>("/alarms") };
});
