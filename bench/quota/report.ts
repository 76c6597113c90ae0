import { cpus, loadavg, totalmem } from 'node:os';
import type { Figures, Run } from './run.ts';
import type { Scenario } from './scenarios.ts';

type Column = [title: string, read: (figures: Figures) => string];

const number =
  (read: (figures: Figures) => number, digits = 0) =>
  (figures: Figures): string => {
    const value = read(figures);
    return Number.isFinite(value) ? value.toFixed(digits) : '–';
  };

const REFUSED: Column = ['refused', number(({ refused }) => refused)];
const FAILED: Column = ['failed', number(({ failed }) => failed)];
const MOST: Column = ['most in 1 s', number(({ most }) => most)];

const COLUMNS: Record<Scenario['kind'], Column[]> = {
  steady: [
    ['accepted/s', number(({ rate }) => rate, 2)],
    ['of 30', (figures) => `${((figures.rate / 30) * 100).toFixed(1)} %`],
    REFUSED,
    ['after 2 s', number(({ refusedLater }) => refusedLater)],
    MOST,
    ['Jain clients', number(({ jainClients }) => jainClients, 3)],
    ['Jain replicas', number(({ jainReplicas }) => jainReplicas, 3)],
    ['commands/request', number(({ commands }) => commands, 2)],
    FAILED,
  ],
  event: [
    ['before/s', number(({ before }) => before, 1)],
    ['meanwhile/s', number(({ during }) => during, 1)],
    ['afterwards/s', number(({ after }) => after, 1)],
    ['goes on after ms', number(({ resumedMs }) => resumedMs)],
    ['arrived meanwhile', number(({ arrivedDuring }) => arrivedDuring)],
    ['slots lost', number(({ lostSlots }) => lostSlots)],
    REFUSED,
    MOST,
    FAILED,
    ['broken with the replica', number(({ broken }) => broken)],
  ],
  light: [
    ['median ms', number(({ medianMs }) => medianMs)],
    ['99 % ms', number(({ slowMs }) => slowMs)],
    ['longest ms', number(({ longestMs }) => longestMs)],
    REFUSED,
    MOST,
    ['commands/request', number(({ commands }) => commands, 2)],
    FAILED,
  ],
};

/** The goals of its scenario that a run of the gateway has missed. */
export const missed = ({ scenario, way, figures }: Run): string[] =>
  way === 'gateway' ? scenario.goals.filter((goal) => !goal.isMet(figures)).map(({ text }) => text) : [];

/** One scenario's runs, as Markdown. */
export function section(runs: readonly Run[]): string {
  const [first] = runs;
  if (!first) return '';
  const { scenario } = first;
  const columns = COLUMNS[scenario.kind];
  const rows = runs.map(({ way, figures }) => `| ${[way, ...columns.map(([, read]) => read(figures))].join(' | ')} |`);
  const goals = scenario.goals.map(({ text }) => text).join('; ');
  const misses = runs.flatMap(missed);
  return [
    `### ${scenario.name}`,
    '',
    `${scenario.about} Margin ${scenario.marginMs} ms.`,
    ...(goals === ''
      ? []
      : [`Goal: ${goals}. ${misses.length === 0 ? 'Reached.' : `**Missed: ${misses.join('; ')}.**`}`]),
    '',
    `| | ${columns.map(([title]) => title).join(' | ')} |`,
    `|---|${columns.map(() => '--:|').join('')}`,
    ...rows,
    '',
  ].join('\n');
}

/** The whole report. */
export function report(runs: readonly Run[], command: string): string {
  const sections = Map.groupBy(runs, ({ scenario }) => scenario.name);
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GB`;
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(', ');
  return `# The quota under load

\`${command}\`, ${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.versions.node}; load averages at the
end ${load}.

The upstream allows 30 requests a second. It meets each after 5 ms and the jitter (evenly distributed), decides, and
answers 10 to 50 ms later. Each run has replicas, a Redis and an upstream of its own, each in its own process, all on
this machine; clients are addresses of the loopback network that download. Each replica has answered one request before.

- *accepted/s*: slope of the accepted arrivals from 2 s on. *refused*: 503s of the upstream. *failed*: answers to clients
  other than 200. *most in 1 s*: arrivals in any second. *commands/request*: what replicas send to Redis, heartbeats
  included, for one request at the upstream.
- *Jain*: 1 when all have the same; over what clients, and replicas by the client, have had accepted from 2 s on.
  *goes on*: the first accepted arrival after the event. *slots lost*: what fewer were accepted while it lasted.
- The gateway's bounds of waiting are lifted, or they would refuse at once what cannot be served in time; its margin is
  what an operator would set for the jitter: 18 ms up to 15 ms, 32 ms for 30 ms.
- The others are one small proxy (\`bench/quota/rival.ts\`), which waits for its limiter and retries what was refused
  after 0.1 to 2 s: **rate-limiter-flexible** \`RateLimiterQueue\` over \`RateLimiterRedis\`, 30 in 1 s; **bottleneck** over
  Redis, \`minTime\` 34; **nginx** \`limit_req\` 30r/s, one instance through which all three proxies go; **naive retry**
  without a limiter.

${[...sections.values()].map(section).join('\n')}`;
}
