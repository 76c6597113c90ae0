import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '../../test/kit/redis.ts';
import { ask, type Reply } from '../../test/kit/ask.ts';
import { quantile } from '../quota/figures.ts';
import { bodyOf, fieldsOf, pathOf, tokenOf } from './hot-set.ts';
import type { Outcome, Round } from './load.ts';
import { startLoader } from './loader.ts';
import { startNginx } from './nginx.ts';
import { CORES, type Server, startGateway, startOwn } from './processes.ts';

/** The hot set: so many pictures, asked for by so many people on so many connections. */
export const HOT = { files: 256, tokens: 16, connections: 64 } as const;

/** Who answers; the order is that of the table. */
export const CONTENDERS = ['bare', 'memory', 'memory, no log', '304', 'disk', 'cache off', 'nginx'] as const;
/** Who answers. */
export type Contender = (typeof CONTENDERS)[number];

/** What was measured of one contender, over its rounds. */
export type Hits = { contender: Contender; rounds: Outcome[] };

type Contestant = Pick<Round, 'url' | 'pids' | 'status' | 'tags'>;

/** How long each contender is asked before anything counts, in seconds. */
const WARM_UP = { seconds: 4, quickSeconds: 0.5 };

/** How many pictures are asked for at the same time before anything counts. */
const WARMING_AT_ONCE = 16;

/** Nothing but the work itself: no limit of a client, and an upstream that allows everything. */
const UNLIMITED = [
  'clientLimit.localPerSecond=1000000',
  'clientLimit.requests=1000000',
  'clientLimit.seconds=1',
  'quota.perSecond=10000',
  'quota.windowMs=10',
  'quota.marginMs=0',
  // A run may take longer than a grant.
  'access.grantSeconds=86400',
];

/** The keys of every gateway here: as in production, with a Redis that replicas would share. */
export const hotKeys = (upstreamUrl: string, redisUrl: string): string[] => [
  `upstream.url=${upstreamUrl}`,
  `redis.url=${redisUrl}`,
  'secrets.digestKey=0123456789abcdefghijklmnopqrstuvwxyz',
  ...UNLIMITED,
];

/** Plays all contenders in turn, round after round. */
export async function playHits(rounds: number, seconds: number, isQuick: boolean): Promise<Hits[]> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const upstream = stack.use(await startOwn('upstream', [], { core: CORES.others }));
  const dir = await mkdtemp(join(tmpdir(), 'chatfiles-hits-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const start = async (...keys: string[]) =>
    stack.use(await startGateway([...hotKeys(upstream.url, redis.url), ...keys], { core: CORES.server }));

  const bare = stack.use(await startOwn('bare', [String(HOT.files)], { core: CORES.server }));
  const [memory, quiet, disk, uncached] = await Promise.all([
    start(),
    start('log.level=silent'),
    start('cache.memoryBytes=0', `cache.disk.dir=${dir}`, 'cache.disk.minFreeBytes=0'),
    start('cache.enabled=false'),
  ]);
  const nginx = stack.use(await startNginx({ upstreamUrl: upstream.url, core: CORES.server }));

  await warm(bare);
  const tags = await warm(memory, 'chatfiles-gateway; hit; detail=memory');
  await warm(quiet, 'chatfiles-gateway; hit; detail=memory');
  await warm(disk, 'chatfiles-gateway; hit; detail=disk');
  await warm(uncached);
  await warm(nginx);
  const of = ({ url, pid }: Server): Contestant => ({ url, pids: [pid], status: 200 });
  const contestants: Record<Contender, Contestant> = {
    bare: of(bare),
    memory: of(memory),
    'memory, no log': of(quiet),
    '304': { ...of(memory), status: 304, tags },
    disk: of(disk),
    'cache off': of(uncached),
    nginx: of(nginx),
  };

  await using loader = startLoader();
  const play = (contender: Contender, length: number) =>
    loader.play({ ...contestants[contender], ...HOT, seconds: length });
  const hits = CONTENDERS.map((contender): Hits => ({ contender, rounds: [] }));
  for (const { contender } of hits) await play(contender, isQuick ? WARM_UP.quickSeconds : WARM_UP.seconds);
  for (let round = 0; round < rounds; round += 1) {
    for (const each of hits) each.rounds.push(await play(each.contender, seconds));
  }
  return hits;
}

/** Asks for every file once, and then again, when the answer must be the right one; gives the tags. */
export async function warm({ url }: Pick<Server, 'url'>, status?: string): Promise<string[]> {
  const tokens = Array.from({ length: HOT.tokens }, (_, index) => tokenOf(index));
  const askFor = (file: number) =>
    ask(url + pathOf(file), { headers: fieldsOf(file, tokens[file % HOT.tokens] ?? '') });
  const replies: Reply[] = [];
  const askAll = async (from: number) => {
    for (let file = from; file < HOT.files; file += WARMING_AT_ONCE) {
      const reply = await askFor(file);
      if (reply.status !== 200 || !reply.body.equals(bodyOf(file))) {
        throw new Error(`${url} gave a wrong picture, with ${reply.status}`);
      }
      replies[file] = reply;
    }
  };
  await Promise.all(Array.from({ length: WARMING_AT_ONCE }, (_, index) => askAll(index)));
  // What goes to the disk is written behind the answers.
  await sleep(500);
  await Promise.all(Array.from({ length: WARMING_AT_ONCE }, (_, index) => askAll(index)));
  const odd = replies.find(({ headers }) => status !== undefined && headers['cache-status'] !== status);
  if (odd) throw new Error(`${url} says ${String(odd.headers['cache-status'])}, not ${status}`);
  return replies.map(({ headers }) => headers.etag ?? '');
}

/** One contender's figures: of all rounds the better quartile, since others use this machine, too. */
export function figuresOf({ rounds }: Hits): Outcome & { medianCpuUs: number } {
  const of = (figure: keyof Outcome, part: number) =>
    quantile(
      rounds.map((round) => round[figure]),
      part,
    );
  return {
    cpuUs: of('cpuUs', 0.25),
    medianCpuUs: of('cpuUs', 0.5),
    perSecond: of('perSecond', 0.75),
    p50: of('p50', 0.25),
    p99: of('p99', 0.25),
    wrong: rounds.reduce((total, { wrong }) => total + wrong, 0),
  };
}
