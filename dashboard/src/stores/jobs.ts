// Work in the background: the queue, the sweeps, and jobs.
import type { Job, Jobs } from "muster-client/rest_types";
import { inPath } from "muster-client/rest";
import { defineStore } from "pinia";
import { useClient } from "./client";

/** As many jobs as one answer has at most. */
const LIMIT = 500;

export const useJobs = defineStore("jobs", () => {
  const client = useClient();

  const load = (state?: string): Promise<Jobs> => client.get<Jobs>("/jobs", { state, limit: LIMIT });

  /** Enqueue a failed job again; what it did before it failed may be done twice. */
  const retry = (jobId: string): Promise<unknown> =>
    client.request({ method: "POST", path: `/jobs/${inPath(jobId)}/retry`, doneCode: "conflict" });

  /** Enqueue these again, one after the other; return why some could not be. */
  async function retryAll(jobs: readonly Job[]): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const { job_id: jobId } of jobs) await retry(jobId).catch((error: unknown) => failures.push(error));
    return failures;
  }

  return { load, retry, retryAll };
});
