// Sessions in the archive, its files, and those that were set aside.
import { Refused } from "muster-client";
import { inPath } from "muster-client/rest";
import type {
  Job, JobAccepted, Quarantine, QuarantinedFile, SessionsPage, Summary, Unquarantined, Verification,
} from "muster-client/rest_types";
import { defineStore } from "pinia";
import type { Page } from "@/composables/usePages";
import { useClient } from "./client";

const LIMIT = 100;
/** Longer than the service waits for a job before it says which one it is. */
const JOB_TIMEOUT_S = 45;
const JOB_EVERY_MS = 2000;

export const useArchive = defineStore("archive", () => {
  const client = useClient();

  async function sessions(q: string, cursor: string | undefined): Promise<Page<SessionsPage["sessions"][number]>> {
    const query = { state: "archived", q: q === "" ? undefined : q, limit: LIMIT, cursor };
    const { sessions: items, next, total } = await client.get<SessionsPage>("/sessions", query);
    return { items, next, total };
  }

  async function quarantine(cursor: string | undefined): Promise<Page<QuarantinedFile>> {
    return client.get<Quarantine>("/archive/quarantine", { limit: LIMIT, cursor });
  }

  /** Bring a session back to Redis; false: a job is still at it. */
  async function restore(sessionId: string): Promise<boolean> {
    const wanted = { method: "POST", path: `/sessions/${inPath(sessionId)}/restore`, timeoutS: JOB_TIMEOUT_S };
    const answer = await client.request<Summary | JobAccepted>(wanted);
    return !("job_id" in answer);
  }

  const download = (sessionId: string): Promise<Blob> => client.file(`/archive/${inPath(sessionId)}`);

  const downloadQuarantined = (item: string): Promise<Blob> => client.file(`/archive/quarantine/${inPath(item)}`);

  const putBack = (item: string): Promise<Unquarantined> =>
    client.request({ method: "POST", path: "/archive/quarantine", body: { item }, isRepeatable: false });

  /** Check every file; `isOver`: nobody waits for it any more, and it continues in the service. */
  async function verify(isOver: () => boolean): Promise<Verification | undefined> {
    const wanted = { method: "POST", path: "/archive/verify", timeoutS: JOB_TIMEOUT_S };
    const answer = await client.request<Verification | JobAccepted>(wanted);
    return "job_id" in answer ? await jobResult(answer.job_id, isOver) : answer;
  }

  async function jobResult(jobId: string, isOver: () => boolean): Promise<Verification | undefined> {
    while (!isOver()) {
      const job = await client.get<Job>(`/jobs/${inPath(jobId)}`);
      if (job.state === "finished") return job.result as Verification;
      if (job.state === "failed") throw new Refused({ message: job.error ?? "The job has failed." });
      await new Promise((resolve) => setTimeout(resolve, JOB_EVERY_MS));
    }
    return undefined;
  }

  return { sessions, quarantine, restore, download, downloadQuarantined, putBack, verify };
});
