import { atMost, type Goal } from './goals.ts';
import type { Group, GroupRun } from './group.ts';
import { figure, type Section, section, table } from './report.ts';

const HEAD = [
  'way, tokens',
  'waits at most',
  'served',
  'refused (come back in)',
  'failed',
  'for bytes',
  'for vouching',
  'refused upstream',
  'last byte s',
  'p50 ms',
  'p99 ms',
  'bytes came from',
];

const rowOf = ({ way, tokens, maxWaitSeconds, figures: it }: GroupRun): string[] => [
  `${way}, ${tokens}`,
  maxWaitSeconds === undefined ? 'no bound' : `${maxWaitSeconds} s`,
  figure(it.served),
  it.refused === 0 ? '0' : `${it.refused} (up to ${it.comeBackSeconds} s)`,
  figure(it.failed),
  figure(it.asked.bytes),
  figure(it.asked.vouching),
  figure(it.asked.refused),
  figure(it.lastByteMs / 1000, 2),
  figure(it.p50),
  figure(it.p99),
  [...it.sources].map(([from, count]) => `${from} ${count}`).join(', '),
];

const toldIn = ({ way, tokens, maxWaitSeconds, figures: { told } }: GroupRun): string[] =>
  [...told].map(([what, count]) => {
    const bound = maxWaitSeconds === undefined ? '' : `, ${maxWaitSeconds} s`;
    return `${way}, ${tokens}${bound}: ${count} × ${what}`;
  });

const REPLICAS = 3;
/** What a burst of this machine's own may make the upstream see too early. */
const STRAY_REFUSALS = 3;

function goalsOf({ way, tokens, maxWaitSeconds, figures: it }: GroupRun, { withinMs, members }: Group): Goal[] {
  if (way !== 'gateway') return [];
  const name = (what: string) => `${tokens}, ${maxWaitSeconds} s: ${what}`;
  const always = [
    atMost(name('wrong pictures or failures'), it.wrong + it.failed, 0),
    atMost(name('refused upstream'), it.asked.refused, STRAY_REFUSALS),
  ];
  const { bytes, vouching } = it.asked;
  if (tokens === 'none known') {
    // With a bound, those who would wait longer are refused; then that is what is to be seen.
    const each = atMost(name('requests for each who was served'), (bytes + vouching) / it.served, 1.02, 2);
    const late = it.refused > 0 ? [] : [atMost(name('last byte in s'), it.lastByteMs / 1000, 2 + members / 29, 2)];
    return [...always, each, ...late];
  }
  return [
    ...always,
    atMost(name('not served'), it.members - it.served, 0),
    atMost(name('requests for bytes, one a replica'), bytes, REPLICAS),
    atMost(name('requests for vouching'), vouching, 0),
    atMost(name('last byte in s'), it.lastByteMs / 1000, withinMs / 1000 + 0.5, 2),
  ];
}

/** The group's tables. */
export function groupSection(runs: readonly GroupRun[], group: Group): Section {
  const body = `${group.members} members of a group ask for the thumbnail of one fresh picture within ${group.withinMs / 1000} s, spread evenly, each with
a token and an address of its own, each once: nobody tries again. The picture needs its secret, which all of them have.
${REPLICAS} replicas, each a process, share a Redis, \`secrets.digestKey\` and one source address; the upstream allows 30 requests in
any second (the emulator with its sliding log, a process of its own).

- *all known*: each token was accepted for an earlier picture, at another replica than the one that is asked now. *At
  once*: the same with another picture, for which all ask in the same moment, each on a connection that is still to be made.
- *verifiable*: dynamic tokens, nowhere seen before, of an app in \`access.verify.easemob\`. The emulator takes no such
  tokens: here the upstream is the bench's own, which takes any, with the emulator's limiter in front.
- *waits at most*: \`quota.maxWaitMs\`; 10 s is the default. ${group.members} questions at 30 a second take ${(group.members / 30).toFixed(0)} s, so with it some are
  refused at once, with 503 and the time to come back.
- *nginx* is one instance for all: \`proxy_cache\` by address and secret, \`auth_request\` to a request for one byte of the
  same file, cached by token for 300 s, and \`limit_req\` 30r/s on the way to the upstream with room for everybody to wait.
  What the upstream refuses to \`auth_request\` reaches the client as 500.

*for bytes*, *for vouching*, *refused upstream*: what the upstream saw, its 503s apart. *last byte*: since the first member
asked. p50 and p99 of those who were served.

${table(HEAD, runs.map(rowOf))}

What those heard who were not served: ${runs.flatMap(toldIn).join('; ') || 'nobody was refused'}.`;
  return section(
    'A group and one picture',
    body,
    runs.flatMap((run) => goalsOf(run, group)),
  );
}
