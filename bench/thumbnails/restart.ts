import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ask } from '../../test/kit/ask.ts';
import { quantile } from '../quota/figures.ts';
import { memoryMb } from './cpu.ts';
import { bodyOf, fieldsOf, pathOf, tokenOf } from './hot-set.ts';
import { hotKeys } from './hits.ts';
import { type Gateway, OPERATOR_TOKEN, type Server, startGateway, startOwn } from './processes.ts';
import { startRedis } from '../../test/kit/redis.ts';

/** One start on a folder; ms since the process was begun. */
export type Restart = {
  folder: 'empty' | 'in the page cache' | 'only on the disk';
  entries: number;
  diskMb: number;
  readyMs: number;
  firstMs: number;
  indexedMs: number;
  rssReadyMb: number;
  rssMb: number;
  /** Answers from the disk afterwards: how long one takes, and what the upstream was asked for them. */
  p50: number;
  p99: number;
  asked: { bytes: number; vouching: number };
};

/** How many files are asked for afterwards. */
const PROBES = 300;
const TOKEN = tokenOf(0);
/** Files are asked for in an order that has nothing to do with that on the disk. */
const STRIDE = 7919;

/** Fills a folder, and starts gateways on it one after the other. */
export async function playRestart(entries: number): Promise<Restart[]> {
  const dir = await mkdtemp(join(tmpdir(), 'chatfiles-restart-'));
  const empty = await mkdtemp(join(tmpdir(), 'chatfiles-restart-'));
  try {
    const fill = fileURLToPath(new URL('./fill.ts', import.meta.url));
    execFileSync(process.execPath, [fill, dir, String(entries)], { stdio: 'inherit' });
    // One Redis for all: before one that is new, a gateway holds back for as long as others may have used the quota.
    await using redis = await startRedis();
    return [
      await start('empty', empty, 0, redis.url),
      await start('in the page cache', dir, entries, redis.url),
      await start('only on the disk', dir, entries, redis.url),
    ];
  } finally {
    for (const each of [dir, empty]) await rm(each, { recursive: true, force: true });
  }
}

async function start(folder: Restart['folder'], dir: string, entries: number, redisUrl: string): Promise<Restart> {
  await using upstream = await startOwn('upstream', []);
  const files = await filesIn(dir);
  if (folder === 'only on the disk') for (const { path } of files) forgetPages(path);
  const keys = [...hotKeys(upstream.url, redisUrl), `cache.disk.dir=${dir}`, 'cache.disk.minFreeBytes=0'];
  const startedAt = performance.now();
  const sinceMs = () => performance.now() - startedAt;
  await using gateway = await startGateway(keys);
  const rssReadyMb = memoryMb(gateway.pid);
  const [firstMs, indexedMs] = await Promise.all([
    firstFromDisk(gateway, entries).then((found) => (found ? sinceMs() : Number.NaN)),
    indexed(gateway, entries).then(sinceMs),
  ]);
  const rssMb = memoryMb(gateway.pid);
  await takeCounts(upstream);
  const took = entries === 0 ? [] : await probe(gateway, entries);
  return {
    folder,
    entries,
    diskMb: files.reduce((sum, { bytes }) => sum + bytes, 0) / 1024 ** 2,
    readyMs: gateway.readyMs,
    firstMs,
    indexedMs,
    rssReadyMb,
    rssMb,
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    asked: await takeCounts(upstream),
  };
}

async function filesIn(dir: string): Promise<{ path: string; bytes: number }[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = found.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
  return Promise.all(paths.map(async (path) => ({ path, bytes: (await stat(path)).size })));
}

/** Lets the kernel forget what it holds of a file: written to the disk first, or it may not. */
function forgetPages(path: string): void {
  execFileSync('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
}

/** Asks until an answer is what was kept: not fetched, at most vouched for. False where nothing can be. */
async function firstFromDisk({ url }: Gateway, entries: number): Promise<boolean> {
  for (let asked = 0; ; asked += 1) {
    const file = (asked * STRIDE) % Math.max(1, entries);
    const { status, body, headers } = await ask(url + pathOf(file), { headers: fieldsOf(file, TOKEN) });
    if (status !== 200 || !body.equals(bodyOf(file))) throw new Error(`a wrong picture, with ${status}`);
    if (isKept(headers['cache-status'])) return true;
    if (entries === 0) return false;
  }
}

const isKept = (status: string | string[] | undefined): boolean =>
  /; hit|fwd=request; fwd-status=304/.test(String(status));

async function indexed({ adminUrl }: Gateway, entries: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`${adminUrl}/cache`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
    const { cache } = (await answer.json()) as { cache: { disk: { state: string; entries: number } } };
    if (cache.disk.state === 'open' && cache.disk.entries >= entries) return;
    await sleep(10);
  }
}

/** Asks for files all over the folder, one after the other; all of them must come from it. */
async function probe({ url }: Gateway, entries: number): Promise<number[]> {
  const took: number[] = [];
  for (let asked = 0; asked < PROBES; asked += 1) {
    const file = Math.floor((entries * (asked + 0.5)) / PROBES);
    const startedAt = performance.now();
    const { body, headers } = await ask(url + pathOf(file), { headers: fieldsOf(file, TOKEN) });
    took.push(performance.now() - startedAt);
    if (!body.equals(bodyOf(file)) || !isKept(headers['cache-status'])) {
      throw new Error(`file ${file} came with ${String(headers['cache-status'])}`);
    }
  }
  return took;
}

const takeCounts = async ({ url }: Server): Promise<Restart['asked']> =>
  (await (await fetch(`${url}/-/counts`)).json()) as Restart['asked'];
