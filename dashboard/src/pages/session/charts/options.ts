// How uPlot draws one key.
import type uPlot from "uplot";
import type { Range } from "./view";
import type { Span } from "./line";

export interface ChartColours {
  readonly line: string;
  readonly text: string;
  readonly grid: string;
  readonly away: string;
}

export interface ChartHooks {
  readonly colours: () => ChartColours;
  readonly spans: () => readonly Span[];
  readonly onZoom: (range: Range) => void;
  readonly onReset: () => void;
  /** Index of the point under the pointer; null: it is elsewhere. */
  readonly onPoint: (index: number | null) => void;
}

/** Of the longest label of a time axis, and a gap; uPlot's own guess is shorter. */
const LABEL_PX = 80;

/** A time axis of less than this may have labels with milliseconds. */
const FINE_S = 60;
/** Half of a label stands beyond the right edge, px: of "23:59:59", and of "23:59:59.999". */
const [OVERHANG_PX, FINE_OVERHANG_PX] = [28, 42];

/** Seconds between two labels of a time axis; uPlot's own list has none between 1 and 5 min, 1 and 5 s. */
const STEPS_S = [
  ...[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30],
  ...[1, 2, 3, 5, 10, 15, 20, 30].map((minutes) => 60 * minutes),
  ...[1, 2, 3, 4, 6, 8, 12].map((hours) => 3600 * hours),
  ...[1, 2, 3, 4, 5, 7, 10, 15, 30, 60, 90, 180, 365, 730, 1825, 3650].map((days) => 86_400 * days),
];

/** Pixels that a pointer has to be moved to choose a time. */
const LEAST_DRAG = 6;

export function optionsOf(width: number, height: number, sync: string, hooks: ChartHooks): uPlot.Options {
  const axis = (size: number): uPlot.Axis => ({
    stroke: () => hooks.colours().text,
    grid: { stroke: () => hooks.colours().grid, width: 1 },
    ticks: { stroke: () => hooks.colours().grid, width: 1, size: 4 },
    size,
    font: "12px system-ui, sans-serif",
  });
  return {
    width,
    height,
    padding: [8, rightOf, 0, 0],
    legend: { show: false },
    scales: { x: { time: true }, y: { range: roomy } },
    axes: [
      {
        ...axis(28),
        space: LABEL_PX,
        incrs: STEPS_S,
        values: (_, splits, __, ___, stepS) => timeLabels(splits, stepS),
      },
      { ...axis(56), values: (_, splits) => splits.map(shortNumber) },
    ],
    series: [{}, { stroke: () => hooks.colours().line, width: 1.5, points: { size: 4 } }],
    cursor: {
      y: false,
      sync: { key: sync, scales: ["x", null] },
      drag: { x: true, y: false, setScale: false, dist: LEAST_DRAG },
      bind: {
        dblclick: () => () => {
          hooks.onReset();
          return null;
        },
      },
    },
    hooks: {
      drawClear: [(chart) => shade(chart, hooks.spans(), hooks.colours().away)],
      setCursor: [(chart) => hooks.onPoint(chart.cursor.idx ?? null)],
      setSelect: [
        (chart) => {
          const { left, width: chosen } = chart.select;
          if (chosen < LEAST_DRAG) return;
          hooks.onZoom({ from: chart.posToVal(left, "x"), to: chart.posToVal(left + chosen, "x") });
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

/** Return the room beyond the right edge, px. */
function rightOf({ scales }: uPlot): number {
  const { min, max } = scales["x"] ?? {};
  return (max ?? 0) - (min ?? 0) < FINE_S ? FINE_OVERHANG_PX : OVERHANG_PX;
}

/** Leave room above and below; a line of one value lies in the middle. */
function roomy(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const room = high > low ? (high - low) * 0.08 : Math.abs(low) * 0.1 || 1;
  return [low - room, high + room];
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockWithSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** Return the labels of a time axis in the reader's zone; where a day begins, the day. */
export function timeLabels(times: readonly number[], stepS: number): string[] {
  return times.map((time) => {
    const at = new Date(time * 1000);
    if (stepS < 1) return `${clockWithSeconds.format(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
    if (stepS < 60) return clockWithSeconds.format(at);
    const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
    return isMidnight || stepS >= 86_400 ? day.format(at) : clock.format(at);
  });
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 6, useGrouping: false });

/** Return a number that fits beside an axis. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return value.toExponential(1).replace("+", "");
  return size >= 1e5 ? compact.format(value) : plain.format(value);
}

/** Shade the times in which the device was away. */
function shade(chart: uPlot, spans: readonly Span[], colour: string): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = colour;
  for (const { from, to } of spans) {
    const left = Math.max(bbox.left, chart.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, to === Infinity ? Infinity : chart.valToPos(to, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}
