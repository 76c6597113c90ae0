/**
 * Thumbnails from the cache, beside what can be had without it: see USAGE. It ends with 1 when a goal is missed in a run
 * of full length.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { requirePrograms } from '../../test/kit/servers.ts';
import { playGroup } from './group.ts';
import { groupSection } from './group-report.ts';
import { playHits } from './hits.ts';
import { hitsSection } from './hits-report.ts';
import { playProfile } from './profile.ts';
import { report, type Section } from './report.ts';
import { playRestart } from './restart.ts';
import { restartSection } from './restart-report.ts';

const USAGE = `node bench/thumbnails/main.ts [--quick] [--profile] [SCENARIO…]

  hits      hits in memory and on the disk, beside a bare handler, nginx, and no cache
  group     a group that asks for one picture through three replicas
  restart   a start with 100,000 entries on the disk
  --quick   less of everything, in under a minute: only shows that nothing is broken
  --profile tells where the time of a hit in memory goes, and nothing else

Needs redis-server, nginx and taskset. Everything stays on this machine. A full run of all scenarios takes about five
minutes and writes bench/results/thumbnails.md.`;

/** A full run's measures, and those of a quick one. */
const HITS = { rounds: 9, seconds: 1.5, quick: { rounds: 2, seconds: 0.3 } };
const GROUP = { full: { members: 500, withinMs: 2000 }, quick: { members: 48, withinMs: 200 } };
const ENTRIES = { full: 100_000, quick: 5000 };
const PROFILE_SECONDS = 8;
const SHOWN_COSTS = 40;

const SCENARIOS: Record<string, (isQuick: boolean) => Promise<Section>> = {
  async hits(isQuick) {
    const { rounds, seconds } = isQuick ? HITS.quick : HITS;
    return hitsSection(await playHits(rounds, seconds, isQuick), seconds);
  },
  async group(isQuick) {
    const group = isQuick ? GROUP.quick : GROUP.full;
    return groupSection(await playGroup(group, isQuick), group);
  },
  restart: async (isQuick) => restartSection(await playRestart(isQuick ? ENTRIES.quick : ENTRIES.full)),
};

const { values, positionals } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !Object.hasOwn(SCENARIOS, name));
if (values.help || unknown.length > 0) {
  if (unknown.length > 0) console.error(`unknown: ${unknown.join(', ')}\n`);
  console.log(USAGE);
  process.exit(unknown.length > 0 ? 2 : 0);
}
requirePrograms([
  { command: 'redis-server', debianPackage: 'redis-server' },
  { command: 'nginx', debianPackage: 'nginx' },
  { command: 'taskset', debianPackage: 'util-linux' },
]);

if (values.profile) {
  for (const [title, costs] of Object.entries(await playProfile(PROFILE_SECONDS))) {
    console.log(`\n${title}, µs a request`);
    for (const { name, us } of costs.slice(0, SHOWN_COSTS)) console.log(`${us.toFixed(1).padStart(8)}  ${name}`);
  }
  process.exit();
}

const isWhole = !values.quick && positionals.length === 0;
const sections: Section[] = [];
for (const [name, play] of Object.entries(SCENARIOS)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const played = await play(values.quick);
  sections.push(played);
  console.log(played.text);
}
if (isWhole) {
  const results = new URL('../results/', import.meta.url);
  await mkdir(results, { recursive: true });
  await writeFile(new URL('thumbnails.md', results), report(sections, 'node bench/thumbnails/main.ts'));
}
const missed = sections.flatMap(({ goals }) => goals.filter(({ isMet }) => !isMet));
for (const { text } of missed) console.error(`missed: ${text}`);
// Of a quick run, times say nothing.
process.exitCode = missed.length > 0 && !values.quick ? 1 : 0;
