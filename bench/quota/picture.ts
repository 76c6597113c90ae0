/**
 * The picture of a run: how many requests arrived at the upstream in the second before each moment, accepted ones
 * below, refused ones on top.
 */
import type { Arrival } from './arrival.ts';

const WIDTH = 960;
const HEIGHT = 420;
const PLOT = { left: 60, right: 940, height: 130 };
const STEP_MS = 50;
const ALLOWED = 30;

type Panel = { title: string; arrivals: readonly Arrival[]; top: number };
type Point = { at: number; accepted: number; arrived: number };

/** Draws two runs of the same length, one above the other; each panel has its own scale. */
export function draw(gateway: readonly Arrival[], naive: readonly Arrival[], seconds: number): string {
  const panels: Panel[] = [
    { title: 'With the gateway', arrivals: gateway, top: 52 },
    { title: 'With retry and backoff alone', arrivals: naive, top: 244 },
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Arrivals at the upstream in each sliding second: with the gateway about thirty and none refused, with retry and backoff alone hundreds, most of them refused">
<style>
  .paper { fill: #ffffff }
  text { font: 13px system-ui, sans-serif; fill: #3d444d }
  .title { font-size: 15px; font-weight: 600; fill: #1f2328 }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .accepted { fill: #2da44e }
  .refused { fill: #d1242f }
  .allowed { stroke: #0550ae; stroke-width: 1.5; stroke-dasharray: 6 4; fill: none }
  .allowed-text { fill: #0550ae }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 }
    text { fill: #b7bdc8 }
    .title { fill: #f0f6fc }
    .grid { stroke: #3d444d }
    .accepted { fill: #3fb950 }
    .refused { fill: #f85149 }
    .allowed { stroke: #79c0ff }
    .allowed-text { fill: #79c0ff }
  }
</style>
<rect class="paper" width="${WIDTH}" height="${HEIGHT}" rx="6"/>
<rect class="accepted" x="560" y="16" width="12" height="12"/><text x="578" y="27">accepted</text>
<rect class="refused" x="652" y="16" width="12" height="12"/><text x="670" y="27">refused</text>
<line class="allowed" x1="736" x2="766" y1="22" y2="22"/><text x="773" y="27">what the upstream allows</text>
${panels.map((panel) => drawPanel(panel, seconds)).join('\n')}
<text x="${(PLOT.left + PLOT.right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">seconds since 300 requests came at once, with 78 more each second</text>
</svg>
`;
}

function drawPanel({ title, arrivals, top }: Panel, seconds: number): string {
  const points = countsOf(arrivals, seconds);
  const most = ceiling(Math.max(...points.map(({ arrived }) => arrived), ALLOWED * 1.25));
  const x = (at: number) => round(PLOT.left + ((PLOT.right - PLOT.left) * at) / (seconds * 1000));
  const y = (count: number) => round(top + PLOT.height * (1 - count / most));
  const area = (upper: (point: Point) => number, lower: (point: Point) => number) =>
    `M${points.map((point) => `${x(point.at)},${y(upper(point))}`).join('L')}L${points
      .toReversed()
      .map((point) => `${x(point.at)},${y(lower(point))}`)
      .join('L')}Z`;
  const bottom = top + PLOT.height;
  const ticks = [0, most / 2, most];
  return [
    `<text class="title" x="${PLOT.left}" y="${top - 12}">${title}</text>`,
    ...ticks.map(
      (count) =>
        `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${y(count)}" y2="${y(count)}"/>` +
        `<text x="${PLOT.left - 8}" y="${y(count) + 4}" text-anchor="end">${count}</text>`,
    ),
    ...Array.from(
      { length: Math.floor(seconds / 2) + 1 },
      (_, index) => `<text x="${x(index * 2000)}" y="${bottom + 17}" text-anchor="middle">${index * 2}</text>`,
    ),
    `<path class="accepted" d="${area(
      ({ accepted }) => accepted,
      () => 0,
    )}"/>`,
    `<path class="refused" d="${area(
      ({ arrived }) => arrived,
      ({ accepted }) => accepted,
    )}"/>`,
    `<line class="allowed" x1="${PLOT.left}" x2="${PLOT.right}" y1="${y(ALLOWED)}" y2="${y(ALLOWED)}"/>`,
    // Where hundreds arrive, the number would lie on top of them.
    ...(most > 10 * ALLOWED
      ? []
      : [`<text class="allowed-text" x="${PLOT.right}" y="${y(ALLOWED) - 5}" text-anchor="end">${ALLOWED}</text>`]),
  ].join('\n');
}

/** Counts at every step; the first point is where the axes meet. */
function countsOf(arrivals: readonly Arrival[], seconds: number): Point[] {
  return Array.from({ length: (seconds * 1000) / STEP_MS + 1 }, (_, index) => {
    const at = index * STEP_MS;
    const recent = arrivals.filter((arrival) => arrival.at > at - 1000 && arrival.at <= at);
    return { at, arrived: recent.length, accepted: recent.filter(({ accepted }) => accepted).length };
  });
}

/** The next round number. */
function ceiling(value: number): number {
  const step = [20, 40, 100, 200, 400, 1000, 2000].find((each) => value <= each * 10) ?? 4000;
  return Math.ceil(value / step) * step;
}

const round = (value: number) => Math.round(value * 10) / 10;
