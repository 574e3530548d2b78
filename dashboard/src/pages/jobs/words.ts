// Jobs and sweeps in words.
import type { Job, Jobs, Sweep } from "muster-client/rest_types";
import { count } from "@/client/amounts";
import { duration } from "@/client/times";
import type { Figure } from "@/components/shapes";

export const STATES = ["queued", "started", "scheduled", "deferred", "finished", "failed"] as const;
const LABELS: Readonly<Record<string, string>> = {
  queued: "Waiting", started: "Running", scheduled: "To be tried again", deferred: "Waiting for others",
  finished: "Finished", failed: "Failed",
};

export function isState(text: unknown): text is (typeof STATES)[number] {
  return STATES.some((one) => one === text);
}

export function stateLabel(state: string): string {
  return LABELS[state] ?? state;
}

export function queueFigures(jobs: Jobs): Figure[] {
  const { counts, oldest_s: oldest, workers } = jobs;
  const failed = counts["failed"] ?? 0;
  return [
    {
      label: "Workers",
      value: count(workers),
      ...(workers === 0 ? { tone: "bad" as const, note: "nothing is done" } : {}),
    },
    {
      label: "Waiting",
      value: count(counts["queued"] ?? 0),
      ...(oldest === null ? {} : { note: `the next one for ${duration(oldest)}` }),
    },
    { label: "Running", value: count(counts["started"] ?? 0) },
    { label: "To be tried again", value: count(counts["scheduled"] ?? 0) },
    { label: "Failed", value: count(failed), ...(failed > 0 ? { tone: "bad" as const } : {}) },
  ];
}

/** Return what to know of a sweep: "late", "ok", or that it has not run yet. */
export function sweepState(sweep: Sweep): string {
  if (sweep.late) return "late";
  return sweep.ran_s_ago === null ? "not yet" : "ok";
}

export function sweepName(sweep: Sweep): string {
  return sweep.sweep.replaceAll("_", " ");
}

export function jobName(job: Job): string {
  return job.name === "" ? "not one of this service" : job.name.replaceAll("_", " ");
}

/** Return when a job last got on. */
export function jobTime(job: Job): string | null {
  return job.ended_at ?? job.started_at ?? job.enqueued_at;
}
