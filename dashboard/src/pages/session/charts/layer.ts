// Which part of the series is read for what the charts show: each sample where they can be told apart, and intervals
// as wide as a column of the chart where there are more.
import type { Data } from "muster-client/rest_types";
import type { Request } from "muster-client/rest";
import { orOlder } from "@/client/errors";
import { bandOf, rowsOf, type Coarse, type History, type Row } from "./series";
import type { Range } from "./view";

/** As the service has it. */
const LEAST_STEP_S = 0.001;
const MOST_STEP_S = 31_622_400;
/** Intervals may be so much wider than a column until finer ones are read. */
const ROUGH = 2;
/** Beyond both edges, as a part of what is shown, so that moving a little reads nothing. */
const MARGIN = 0.5;
/** With the margins, an answer has room for so many. */
const MOST_COLUMNS = 1_000;

/** The answer of the route of data with a step. */
export type Answer = History & Pick<Data, "kept" | "setting" | "cut">;

export interface Wanted extends Range {
  readonly keys: readonly string[];
  /** What is seen of it: the edges of the chart. */
  readonly shown: Range;
  /** Columns of the chart. */
  readonly columns: number;
}

/** How far back the service's samples go, and which setting says so. */
export interface Kept {
  readonly setting: string;
  /** Of all keys that are drawn; undefined: they have no samples. */
  readonly oldest: number | undefined;
  readonly atMost: number;
  /** Whether older samples were dropped. */
  readonly isFull: boolean;
}

export interface Layer extends Range {
  readonly keys: readonly string[];
  readonly samples: ReadonlyMap<string, readonly Row[]>;
  readonly coarse: ReadonlyMap<string, Coarse>;
  /** undefined: the service does not say. */
  readonly kept: Kept | undefined;
}

type Get = (query: Request["query"]) => Promise<Answer>;

/** Whether a layer has all that is wanted, as fine as it can be seen. */
export function fits(layer: Layer, { keys, from, to, shown, columns }: Wanted): boolean {
  if (keys.some((key) => !layer.keys.includes(key)) || from < layer.from || to > layer.to) return false;
  const finest = (ROUGH * (shown.to - shown.from)) / Math.min(columns, MOST_COLUMNS);
  return [...layer.coarse.values()].every(({ until, stepS }) => shown.from >= until || stepS <= finest);
}

/** Read what is wanted; `get`: of the session's data. */
export function readLayer(get: Get, wanted: Wanted): Promise<Layer> {
  return orOlder(
    () => readPart(get, wanted),
    () => readWhole(get, wanted.keys),
  );
}

/** Read all that there is: a node of an earlier version has no samples by time. */
async function readWhole(get: Get, keys: readonly string[]): Promise<Layer> {
  const found = await get({ keys });
  const samples = new Map(keys.map((key) => [key, [...rowsOf(found, key)].sort((one, other) => one[1] - other[1])]));
  return { keys, from: -Infinity, to: Infinity, samples, coarse: new Map(), kept: undefined };
}

async function readPart(get: Get, wanted: Wanted): Promise<Layer> {
  const { keys, shown } = wanted;
  const columns = Math.min(wanted.columns, MOST_COLUMNS);
  const margin = MARGIN * (shown.to - shown.from);
  const [from, to] = [wanted.from - margin, wanted.to + margin];
  const ends = { ...(from > 0 ? { since: from } : {}), ...(to < Infinity ? { until: to } : {}) };
  const found = await get({ keys, ...ends, step: 0 });
  const kept = keptOf(found);
  const coarse = new Map<string, Coarse>();
  const samples = new Map(keys.map((key) => [key, rowsOf(found, key)]));
  const cut = found.cut ?? [];
  const begins = new Map(cut.map((key) => [key, samples.get(key)?.[0]?.[1] ?? 0]));
  if (begins.size > 0) {
    const [since, until] = [Math.max(from, kept.oldest ?? from), Math.max(...begins.values())];
    const stepS = stepOf((Math.min(to, shown.to) - Math.max(since, wanted.from)) / columns);
    const query = { keys: cut, since, until, step: stepS };
    const [lowest, highest] = await Promise.all([get({ ...query, agg: "min" }), get({ ...query, agg: "max" })]);
    for (const [key, begin] of begins) {
      const rows = bandOf(rowsOf(lowest, key), rowsOf(highest, key), stepS);
      coarse.set(key, { rows: rows.filter((row) => row[1] < begin), until: begin, stepS });
    }
  }
  const isAll = kept.oldest === undefined || kept.oldest >= from;
  return { keys, from: isAll ? -Infinity : from, to, samples, coarse, kept };
}

/** Return a step that is not finer, of three digits. */
function stepOf(seconds: number): number {
  const step = Math.min(MOST_STEP_S, Math.max(LEAST_STEP_S, seconds));
  const unit = 10 ** (Math.floor(Math.log10(step)) - 2);
  return Number((Math.ceil(Number((step / unit).toPrecision(12))) * unit).toPrecision(3));
}

function keptOf({ kept, setting }: Answer): Kept {
  const all = Object.values(kept ?? {});
  const times = all.flatMap((one) => one.oldest ?? []);
  return {
    setting: setting ?? "sessions.history",
    oldest: times.length > 0 ? Math.min(...times) : undefined,
    atMost: Math.max(0, ...all.map((one) => one.at_most)),
    isFull: all.some((one) => one.samples >= one.at_most),
  };
}
