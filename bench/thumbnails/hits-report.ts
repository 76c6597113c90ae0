import { atMost } from './goals.ts';
import { figuresOf, type Hits, HOT } from './hits.ts';
import { BODY_BYTES } from './hot-set.ts';
import { figure, type Section, section, table } from './report.ts';

const ABOUT = {
  bare: 'bare node:http handler',
  memory: 'gateway, hit in memory',
  'memory, no log': 'the same with `log.level: silent`',
  '304': 'gateway, 304 from memory',
  disk: 'gateway, hit on the disk',
  'cache off': 'gateway, cache off',
  nginx: 'nginx, hit',
} as const;

/** The table of hits. */
export function hitsSection(hits: readonly Hits[], seconds: number): Section {
  const figures = new Map(hits.map((each) => [each.contender, figuresOf(each)]));
  const cpuOf = (contender: Hits['contender']) => figures.get(contender)?.cpuUs ?? Number.NaN;
  const base = cpuOf('bare');
  const rows = hits.map(({ contender }) => {
    const it = figuresOf(hits.find((each) => each.contender === contender) ?? { contender, rounds: [] });
    const times = [it.cpuUs / base, it.cpuUs / cpuOf('nginx')].map((ratio) => figure(ratio, 2));
    const cpu = [it.cpuUs, it.medianCpuUs].map((us) => figure(us, 1));
    return [
      ABOUT[contender],
      ...cpu,
      ...times,
      figure(it.perSecond),
      figure(it.p50, 2),
      figure(it.p99, 2),
      figure(it.wrong),
    ];
  });
  const body = `${HOT.files} thumbnails of ${BODY_BYTES} bytes, each asked for by ${HOT.tokens} tokens and with its secret, on ${HOT.connections} connections that never pause. The
server is pinned to core 0, the load and the upstream to core 1. ${hits[0]?.rounds.length ?? 0} rounds of ${seconds} s, all
contenders in turn; each has been asked for a while before.

- *CPU*: user and system time of the server's processes for each request, the first quartile of the rounds and the
  median; × is the quartile's ratio. It is what a busy core's throughput is made of, and less disturbed by others on this
  machine than the rest; differences of a tenth mean nothing.
- *requests/s* (third quartile), p50 and p99 (first quartile) are those of a core that is fully used: each of ${HOT.connections}
  connections waits for all others. They say nothing of a quiet gateway, and others have used this machine meanwhile.
- The gateway has its default configuration with Redis, \`secrets.digestKey\` and limits that are never reached. Its log goes
  to /dev/null, one line a request. *On the disk*: \`cache.memoryBytes: 0\`, so each hit reads the file, which is in the
  kernel's page cache. *cache off*: the whole way to an upstream on this machine, with the quota lifted.
- *bare* looks at the token, the file and its secret in a Map, and answers with three fields. *nginx* is the recipe
  of the group below, one worker, both of its caches warm; it has neither the gateway's headers nor its limits.

${table(['', 'CPU µs', 'median', '× bare', '× nginx', 'requests/s', 'p50 ms', 'p99 ms', 'wrong'], rows)}`;
  return section('Hits', body, [
    atMost('CPU of a hit in memory × bare', cpuOf('memory') / base, 1.35, 2),
    atMost('CPU of a hit in memory × nginx', cpuOf('memory') / cpuOf('nginx'), 1.6, 2),
    atMost('CPU of a hit on the disk beyond one in memory × bare', (cpuOf('disk') - cpuOf('memory')) / base, 1, 2),
    atMost('CPU of a 304 × that of a hit in memory', cpuOf('304') / cpuOf('memory'), 1.1, 2),
    atMost(
      'wrong answers',
      [...figures.values()].reduce((sum, { wrong }) => sum + wrong, 0),
      0,
    ),
  ]);
}
