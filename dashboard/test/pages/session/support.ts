// A session's page without a service: a feed that a test moves, and answers that it holds in its hand.
import type { Change, FleetState, Summary } from "muster-client";
import type { Request } from "muster-client/rest";
import { effectScope, ref, shallowRef } from "vue";
import type { Feed } from "@/pages/session/useFeed";

export interface TestFeed extends Feed {
  readonly tell: (change: Change) => void;
  readonly change: (summary: Partial<Summary>) => void;
}

export function testFeed(): TestFeed {
  const listeners: Parameters<Feed["on"]>[0][] = [];
  const summary = shallowRef<Summary>();
  return {
    sessionId: "kiosk-7",
    state: ref<FleetState>("live"),
    summary,
    heardAt: ref<number>(),
    on: (handlers) => void listeners.push(handlers),
    join: () => undefined,
    leave: () => Promise.resolve(),
    tell: (change) => {
      for (const handlers of listeners) (handlers[change.kind] as ((change: Change) => void) | undefined)?.(change);
    },
    change: (more) => (summary.value = { ...summary.value, ...more } as Summary),
  };
}

type Answer = unknown;

/** Answers requests in the order in which they were made; an `Error` is thrown. */
export class TestClient {
  readonly asked: Request[] = [];
  readonly #waiting: ((answer: Answer) => void)[] = [];
  readonly #ready: Answer[] = [];

  answer(...answers: Answer[]): void {
    for (const answer of answers) {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#ready.push(answer);
      else waiting(answer);
    }
  }

  /** Answer the youngest request first. */
  answerLast(answer: Answer): void {
    this.#waiting.pop()?.(answer);
  }

  readonly request = async (request: Request): Promise<unknown> => {
    this.asked.push(request);
    const answer =
      this.#ready.length > 0 ? this.#ready.shift() : await new Promise((resolve) => this.#waiting.push(resolve));
    if (answer instanceof Error) throw answer;
    return answer;
  };

  readonly get = (path: string, query: Request["query"] = {}): Promise<unknown> =>
    this.request({ method: "GET", path, query });
}

/** Run what needs a scope, such as a composable. */
export function inScope<T>(run: () => T): T {
  return effectScope(true).run(run) as T;
}

/** Let everything that was promised happen. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}
