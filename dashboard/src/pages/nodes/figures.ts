// The service in figures, and the state of a node.
import type { Node, Stats } from "muster-client/rest_types";
import { bytes, count } from "@/client/amounts";
import { duration, exactTime } from "@/client/times";
import type { Figure } from "@/components/shapes";

/** Above this Redis is nearly full: the service has an alarm for it. */
const NEARLY_FULL = 0.9;

export function nodeState(node: Node): string {
  if (node.draining) return "draining";
  return node.ready ? "ready" : "not ready";
}

export function serviceFigures(stats: Stats): Figure[] {
  const { redis } = stats;
  return [
    { label: "Nodes", value: count(stats.nodes), ...(stats.nodes === 0 ? { tone: "bad" as const } : {}) },
    { label: "Workers", value: count(stats.workers), ...(stats.workers === 0 ? { tone: "bad" as const } : {}) },
    { label: "Connections", value: count(stats.connections) },
    { label: "Devices", value: count(stats.devices) },
    { label: "Dashboards", value: count(stats.dashboards) },
    { label: "Samples stored", value: count(stats.samples_stored), note: "since the nodes started" },
    redisFigure(redis.used_memory_bytes, redis.max_memory_bytes),
  ];
}

function redisFigure(used: number | null, most: number | null): Figure {
  const label = "Memory of Redis";
  if (used === null) return { label, value: "–", note: "Redis does not say" };
  const note = most === null ? "" : most === 0 ? "no limit is set" : `of ${bytes(most)}`;
  const isFull = most !== null && most > 0 && used > NEARLY_FULL * most;
  return { label, value: bytes(used), note, ...(isFull ? { tone: "bad" as const } : {}) };
}

const UNSAID = "This version of the node does not say";

export interface Cell {
  readonly text: string;
  readonly title: string;
}

/** Return the load of a node's process; a node is one process and uses at most one core. */
export function load(node: Node): Cell {
  const percent = node.cpu_percent;
  if (percent === undefined || percent === null) return { text: "–", title: UNSAID };
  return { text: `${Math.round(percent)} %`, title: "of one core; a node uses at most one" };
}

/** Return for how long a node runs, and since when. */
export function uptime({ uptime_s: seconds }: Node, nowMs: number): Cell {
  if (seconds === undefined || seconds === null) return { text: "–", title: UNSAID };
  return { text: duration(seconds), title: `since ${exactTime(nowMs - 1000 * seconds)}` };
}

export function memory(node: Node): Cell {
  const { memory_bytes: used, memory_available_percent: left } = node;
  if (used === undefined || used === null) return { text: "–", title: UNSAID };
  const rest = left === undefined || left === null ? "" : `${Math.round(left)} % of the machine's or container's is free`;
  return { text: bytes(used), title: rest };
}
