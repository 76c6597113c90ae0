/**
 * The quota under load, side by side with what can be had off the shelf:
 *   node bench/quota/main.ts [--quick] [--way WAY]… [SCENARIO…]
 * Needs redis-server and nginx. Everything stays on this machine. A full run takes about twelve minutes and writes
 * bench/results/quota.md; it ends with 1 when a goal is missed. Whoever plays saturated-sliding-log in full length also
 * draws docs/quota-rate.svg. A quick run takes a minute and a half, and only shows that nothing is broken.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { requirePrograms } from '../../test/kit/servers.ts';
import { draw } from './picture.ts';
import { missed, report, section } from './report.ts';
import { run, type Run } from './run.ts';
import { type Scenario, SCENARIOS } from './scenarios.ts';
import { type Way, WAYS } from './ways.ts';

/** Of a quick run; those with an event need the time. */
const QUICK_SECONDS = 6;
/** The scenario that is drawn, and in which even a quick run has all ways. */
const COMPARED = 'saturated-sliding-log';

const names = SCENARIOS.map(({ name }) => name);
const ways = Object.keys(WAYS) as Way[];
const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, way: { type: 'string', multiple: true, default: [] } },
  allowPositionals: true,
});
const { quick } = values;
for (const [given, known] of [
  [positionals, names],
  [values.way, ways],
] as const) {
  const unknown = given.filter((name) => !known.some((each) => each === name));
  if (unknown.length === 0) continue;
  console.error(`unknown: ${unknown.join(', ')}; there are ${known.join(', ')}`);
  process.exit(2);
}
const isWhole = !quick && positionals.length === 0 && values.way.length === 0;
const chosen = SCENARIOS.filter(({ name, isQuick }) =>
  positionals.length > 0 ? positionals.includes(name) : isQuick || !quick,
);
const waysOf = ({ name, ways: all }: Scenario): Way[] => {
  if (values.way.length > 0) return all.filter((way) => values.way.includes(way));
  // The rivals' weaknesses take time to show; in a hurry they are only seen to run.
  return quick && name !== COMPARED ? all.slice(0, 1) : all;
};
requirePrograms([
  { command: 'redis-server', debianPackage: 'redis-server' },
  { command: 'nginx', debianPackage: 'nginx' },
]);

const runs: Run[] = [];
for (const scenario of chosen) {
  const seconds = quick && scenario.kind !== 'event' ? QUICK_SECONDS : scenario.seconds;
  const here: Run[] = [];
  for (const way of waysOf(scenario)) here.push(await run(scenario, way, seconds));
  runs.push(...here);
  console.log(section(here));
}

const drawn = runs.filter(({ scenario }) => scenario.name === COMPARED && !quick);
const [gateway, naive] = (['gateway', 'naive retry'] as const).map((way) => drawn.find((each) => each.way === way));
if (gateway && naive) {
  const svg = draw(gateway.arrivals, naive.arrivals, gateway.scenario.seconds);
  await writeFile(new URL('../../docs/quota-rate.svg', import.meta.url), svg);
}
if (isWhole) {
  const results = new URL('../results/', import.meta.url);
  await mkdir(results, { recursive: true });
  await writeFile(new URL('quota.md', results), report(runs, 'node bench/quota/main.ts'));
}
const misses = runs.flatMap((each) => missed(each).map((goal) => `${each.scenario.name}: ${goal}`));
for (const miss of misses) console.error(`missed: ${miss}`);
process.exitCode = misses.length > 0 && isWhole ? 1 : 0;
