import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../test/kit/ask.ts';
import { startRedis } from '../../test/kit/redis.ts';
import { quantile } from '../quota/figures.ts';
import type { Asked } from './counts.ts';
import { type GroupUpstream, startEmulatedUpstream, startLenientUpstream, VERIFY_KEYS } from './group-upstreams.ts';
import { askAll, type Seen } from './members.ts';
import { startNginx } from './nginx.ts';
import { startGateway } from './processes.ts';

/** What is known of the members' tokens when they ask. */
type Tokens = 'all known' | 'all known, at once' | 'none known' | 'verifiable';
/** Who stands between. */
type Way = 'gateway' | 'gateway, cache off' | 'nginx';

/** One picture's way to all members. */
export type GroupRun = { way: Way; tokens: Tokens; maxWaitSeconds: number | undefined; figures: GroupFigures };

/** What has come of it; times in ms. */
export type GroupFigures = {
  members: number;
  served: number;
  wrong: number;
  /** 503s that say when to come back, and the longest of these times in seconds. */
  refused: number;
  comeBackSeconds: number;
  /** Whatever else: connections that broke, refusals that say nothing. */
  failed: number;
  asked: Asked;
  lastByteMs: number;
  p50: number;
  p99: number;
  sources: Map<string, number>;
  /** What those who were not served were told, and how many each. */
  told: Map<string, number>;
};

/** How many members, and within which time all of them ask. */
export type Group = { members: number; withinMs: number };

const REPLICAS = 3;
const DIGEST_KEY = 'secrets.digestKey=0123456789abcdefghijklmnopqrstuvwxyz';
/** The quota's default, and enough for all to be served. */
const WAITS = { short: 10, long: 30 } as const;
/** Longer than the upstream's window: what went before must not count. */
const WINDOW_MS = 1200;

type Stage = { upstream: GroupUpstream; urls: string[] };

/** Plays all ways, one after the other; in a hurry, without those that only show who is refused. */
export async function playGroup(group: Group, isQuick: boolean): Promise<GroupRun[]> {
  return [
    ...(isQuick ? [] : await playGateway(group, WAITS.short, [])),
    ...(await playGateway(group, WAITS.long, [])),
    ...(await playVerified(group)),
    ...(isQuick ? [] : await playGateway(group, WAITS.short, ['cache.enabled=false'])),
    ...(isQuick ? [] : await playGateway(group, WAITS.long, ['cache.enabled=false'])),
    ...(await playNginx(group)),
  ];
}

/** Replicas in front of the emulator: first nobody is known; then, with time enough for all, everybody is. */
async function playGateway(group: Group, maxWaitSeconds: number, keys: string[]): Promise<GroupRun[]> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startEmulatedUpstream());
  const stage = {
    upstream,
    urls: await startReplicas(stack, upstream, [`quota.maxWaitMs=${maxWaitSeconds * 1000}`, ...keys]),
  };
  const way = keys.length === 0 ? 'gateway' : 'gateway, cache off';
  const tokens = await begin(stage, group);
  const first = { way, tokens: 'none known', maxWaitSeconds, figures: await play(stage, group, tokens, 0) } as const;
  if (keys.length > 0 || maxWaitSeconds < WAITS.long) return [first];
  await makeKnown(stage, group, tokens);
  // Each now comes to another replica than the one that knows it.
  const known = await play(stage, group, tokens, 1);
  const atOnce = await play(stage, { ...group, withinMs: 0 }, tokens, 2);
  return [
    first,
    { ...first, tokens: 'all known', figures: known },
    { ...first, tokens: 'all known, at once', figures: atOnce },
  ];
}

async function playVerified(group: Group): Promise<GroupRun[]> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startLenientUpstream());
  const stage = { upstream, urls: await startReplicas(stack, upstream, [VERIFY_KEYS]) };
  const tokens = await begin(stage, group);
  const figures = await play(stage, group, tokens, 0);
  return [{ way: 'gateway', tokens: 'verifiable', maxWaitSeconds: WAITS.short, figures }];
}

/** One nginx: it has one cache and one count of what it sends, which several could not share. */
async function playNginx(group: Group): Promise<GroupRun[]> {
  await using upstream = await startEmulatedUpstream();
  await using nginx = await startNginx({ upstreamUrl: upstream.url, perSecond: 30 });
  const stage = { upstream, urls: [nginx.url] };
  const tokens = await begin(stage, group);
  const first = { way: 'nginx', tokens: 'none known', maxWaitSeconds: undefined } as const;
  return [
    { ...first, figures: await play(stage, group, tokens, 0) },
    { ...first, tokens: 'all known', figures: await play(stage, group, tokens, 1) },
    { ...first, tokens: 'all known, at once', figures: await play(stage, { ...group, withinMs: 0 }, tokens, 2) },
  ];
}

/** Starts replicas that share a Redis and one source address. */
async function startReplicas(stack: AsyncDisposableStack, { url }: GroupUpstream, keys: string[]): Promise<string[]> {
  const redis = stack.use(await startRedis());
  const set = [`upstream.url=${url}`, `redis.url=${redis.url}`, DIGEST_KEY, ...keys];
  const replicas = await Promise.all(Array.from({ length: REPLICAS }, () => startGateway(set)));
  for (const replica of replicas) stack.use(replica);
  return replicas.map((replica) => replica.url);
}

/** Lets somebody outside the group look at another picture through each replica: connections stand, and code is compiled. */
async function begin({ upstream, urls }: Stage, { members }: Group): Promise<string[]> {
  const tokens = await upstream.issue(members);
  const outsider = tokens.pop() ?? '';
  const { path, secret } = await upstream.post();
  const headers = { authorization: `Bearer ${outsider}`, 'share-secret': secret, thumbnail: 'true' };
  for (const url of [...urls, ...urls]) {
    const { status } = await ask(url + path, { headers });
    if (status !== 200) throw new Error(`${url} answers with ${status}`);
  }
  return tokens;
}

/** On a machine that is very busy, some may have been refused: they ask again, and the others cost nothing. */
async function makeKnown({ upstream, urls }: Stage, { withinMs }: Group, tokens: string[]): Promise<void> {
  const picture = await upstream.post();
  for (let unknown = tokens; unknown.length > 0;) {
    const seen = await askAll(picture, unknown, (member) => urls[member % urls.length] ?? '', withinMs);
    unknown = unknown.filter((_, index) => seen[index]?.status !== 200);
  }
}

/** Posts a picture, and lets all members ask for it; `shift` tells how many replicas further each goes. */
async function play({ upstream, urls }: Stage, group: Group, tokens: string[], shift: number): Promise<GroupFigures> {
  const picture = await upstream.post();
  await sleep(WINDOW_MS);
  await upstream.take();
  const seen = await askAll(picture, tokens, (member) => urls[(member + shift) % urls.length] ?? '', group.withinMs);
  return figuresOf(seen, await upstream.take());
}

function figuresOf(seen: Seen[], asked: Asked): GroupFigures {
  const served = seen.filter(({ status }) => status === 200);
  const refused = seen.filter(({ status, retryAfter }) => status === 503 && retryAfter !== undefined);
  const waits = served.map(({ sentAt, endedAt }) => endedAt - sentAt);
  return {
    members: seen.length,
    served: served.length,
    wrong: served.filter(({ isRight }) => !isRight).length,
    refused: refused.length,
    comeBackSeconds: Math.max(0, ...refused.map(({ retryAfter = 0 }) => retryAfter)),
    failed: seen.length - served.length - refused.length,
    asked,
    lastByteMs: Math.max(...served.map(({ endedAt }) => endedAt)),
    p50: quantile(waits, 0.5),
    p99: quantile(waits, 0.99),
    sources: countBy(served, ({ from }) => from),
    told: countBy(seen, ({ said }) => said),
  };
}

/** How many of each; those without a name are not counted. */
function countBy(seen: readonly Seen[], nameOf: (seen: Seen) => string | undefined): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of seen.map(nameOf)) if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
