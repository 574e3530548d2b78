// What an operator can do with a session as a whole.
import { Refused } from "muster-client";
import { inPath } from "muster-client/rest";
import { ref, type Ref } from "vue";
import { useClient } from "@/stores/client";
import { useToasts } from "@/stores/toasts";
import type { SessionContext } from "../context";

export interface Actions {
  /** Name of what is being done; undefined: nothing. */
  readonly running: Readonly<Ref<string | undefined>>;
  readonly archive: () => Promise<boolean>;
  readonly restore: () => Promise<boolean>;
  readonly kick: (retryAfterS: number) => Promise<boolean>;
  readonly remove: () => Promise<boolean>;
}

const TAKEN = "Others have it open, and a session that somebody has open is not archived.";

interface Kicked {
  readonly disconnected: boolean;
  readonly retry_after_s: number;
}

export function useActions({ id, feed, details }: Pick<SessionContext, "id" | "feed" | "details">): Actions {
  const client = useClient();
  const toasts = useToasts();
  const running = ref<string>();

  async function run(what: string, act: () => Promise<string>): Promise<boolean> {
    running.value = what;
    try {
      toasts.done(await act());
      await details.load();
      return true;
    } catch (error) {
      toasts.failed(what, error);
      return false;
    } finally {
      running.value = undefined;
    }
  }

  const archive = (): Promise<boolean> =>
    run("The session could not be archived", async () => {
      await feed.leave(); // a session that somebody has open is not archived
      try {
        return said(await client.operate((operator) => operator.archive(id)), "The session is in the archive.");
      } catch (error) {
        const isTaken = error instanceof Refused && error.code === "conflict";
        if (isTaken && (feed.summary.value?.active_clients ?? 0) > 0) throw new Error(TAKEN, { cause: error });
        throw error;
      } finally {
        feed.join(); // as soon as it is not archived
      }
    });

  const restore = (): Promise<boolean> =>
    run("The session could not be restored", async () =>
      said(await client.operate((operator) => operator.restore(id)), "The session is back from the archive."),
    );

  const kick = (retryAfterS: number): Promise<boolean> =>
    run("The device could not be disconnected", async () => {
      const path = `/sessions/${inPath(id)}/disconnect`;
      const done = await client.request<Kicked>({ method: "POST", path, body: { retry_after_s: retryAfterS } });
      const until = `It may connect again in ${done.retry_after_s} s.`;
      return done.disconnected ? `The device was disconnected. ${until}` : `The device was not connected. ${until}`;
    });

  const remove = (): Promise<boolean> =>
    run("The session could not be deleted", async () => {
      await client.operate((operator) => operator.delete(id));
      return "The session was deleted.";
    });

  return { running, archive, restore, kick, remove };
}

/** A job that takes longer than the request goes on by itself. */
function said(answer: object, done: string): string {
  return "job_id" in answer ? `It takes longer; the job ${String(answer.job_id)} goes on with it.` : done;
}
