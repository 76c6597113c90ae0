import { execFileSync } from 'node:child_process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type ClientLimit, createClientLimit, createLocalAllowance } from '../../src/quota/client-limit.ts';
import { createLocalCount } from '../../src/quota/local-count.ts';
import { createFakeClock, type FakeClock } from '../kit/fake-clock.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';

const LIMIT = { requests: 10, seconds: 60 };

let redis: TestRedis;
let spy: Redis;
let prefixes = 0;
const nextPrefix = () => `test${(prefixes += 1)}:`;

beforeAll(async () => {
  redis = await startRedis();
  spy = new Redis(redis.port, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  spy.on('error', () => {});
});
afterAll(async () => {
  spy.disconnect();
  await redis[Symbol.asyncDispose]();
});
afterEach(() => {
  vi.useRealTimers();
});

type Options = {
  keyPrefix?: string;
  limit?: { requests: number; seconds: number };
  replicas?: number;
  clock?: FakeClock;
};

/** A limiter as a replica has it, once it is connected. Its clock stands still: however busy the machine, nothing is late. */
async function open({
  keyPrefix = nextPrefix(),
  limit = LIMIT,
  replicas = 1,
  clock = createFakeClock(),
}: Options = {}) {
  const limiter = createClientLimit(limit, { redis: { url: redis.url, keyPrefix }, replicas: () => replicas, clock });
  onTestFinished(() => limiter[Symbol.dispose]());
  await counting(limiter, clock);
  return { limiter, clock };
}

/** Waits until a limiter counts in Redis (again). */
async function counting(limiter: ClientLimit, clock: FakeClock): Promise<void> {
  await limiter.consume('somebody');
  await vi.waitFor(
    async () => {
      await clock.advance(300);
      expect(limiter.isShared).toBe(true);
    },
    { timeout: 10_000, interval: 20 },
  );
}

/** A limiter whose clock goes. */
async function openTimed(): Promise<ClientLimit> {
  const limiter = createClientLimit(LIMIT, { redis: { url: redis.url, keyPrefix: nextPrefix() } });
  onTestFinished(() => limiter[Symbol.dispose]());
  await vi.waitFor(
    async () => {
      await limiter.consume('somebody');
      expect(limiter.isShared).toBe(true);
    },
    { timeout: 10_000, interval: 20 },
  );
  return limiter;
}

/** A program that ends when Redis has answered it. */
const PING =
  "require('net').connect(process.argv[1], '127.0.0.1').once('data', () => process.exit()).write('PING\\r\\n')";

/** Pauses Redis until the test is over, at the latest. */
function pauseRedis(): void {
  redis.signal('SIGSTOP');
  onTestFinished(() => redis.signal('SIGCONT'));
}

const many = async (count: number, limiter: Pick<ClientLimit, 'consume'>, key = 'me') =>
  Promise.all(Array.from({ length: count }, () => limiter.consume(key)));

const allowedOf = (verdicts: { allowed: boolean }[]) => verdicts.filter(({ allowed }) => allowed).length;

/** How often Redis has been asked to count. */
async function asked(): Promise<number> {
  const calls = (await spy.info('commandstats')).matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm);
  return [...calls].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function commandsOf(task: () => Promise<unknown>): Promise<number> {
  const before = await asked();
  await task();
  return (await asked()) - before;
}

describe('the limit of each client, over all replicas', () => {
  it('lets a burst within the allowance pass, and refuses the excess with the time to come back', async () => {
    const { limiter } = await open();
    const verdicts = await many(12, limiter);
    expect(verdicts.map(({ allowed }) => allowed)).toEqual([...Array<boolean>(10).fill(true), false, false]);
    expect(verdicts.map(({ remaining }) => remaining)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]);
    expect(verdicts.every(({ limit }) => limit === 10)).toBe(true);
    expect(verdicts.every(({ resetMs }) => resetMs > 0 && resetMs <= 60_000)).toBe(true);
  });

  it('counts the requests at two replicas together', async () => {
    const keyPrefix = nextPrefix();
    const [one, other] = await Promise.all([open({ keyPrefix }), open({ keyPrefix })]);
    const verdicts = await Promise.all([many(8, one.limiter), many(8, other.limiter)]);
    expect(allowedOf(verdicts.flat())).toBe(10);
  });

  it('counts each client for itself', async () => {
    const { limiter } = await open();
    await many(11, limiter, 'one');
    expect(await limiter.consume('other')).toMatchObject({ allowed: true, remaining: 9 });
  });

  it('costs one command a request, and none for a client over its limit', async () => {
    const { limiter } = await open();
    expect(await commandsOf(() => many(10, limiter))).toBe(10);
    expect(await commandsOf(() => many(1000, limiter))).toBe(0);
  });

  it('gives the whole allowance again when its time is up', async () => {
    const { limiter } = await open({ limit: { requests: 2, seconds: 1 } });
    expect(allowedOf(await many(3, limiter))).toBe(2);
    await vi.waitFor(async () => expect(await limiter.consume('me')).toMatchObject({ allowed: true, remaining: 1 }), {
      timeout: 10_000,
      interval: 20,
    });
  });

  it('keeps its keys under the prefix, and lets all of them expire', async () => {
    const keyPrefix = nextPrefix();
    const { limiter } = await open({ keyPrefix });
    await limiter.consume('address:192.0.2.1');
    const keys = await spy.keys(`${keyPrefix}*`);
    expect(keys).toEqual([`${keyPrefix}client:v1:address:192.0.2.1`]);
    const seconds = await spy.ttl(keys[0] ?? '');
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
  });

  it('goes on when the scripts are flushed under load', async () => {
    const { limiter } = await open();
    await many(4, limiter);
    await spy.script('FLUSH');
    expect(allowedOf(await many(8, limiter))).toBe(6);
    expect(limiter.isShared).toBe(true);
  });

  it('forgets some of those over their limit rather than remember them all, and still refuses them', async () => {
    const { limiter } = await open({ limit: { requests: 1, seconds: 600 } });
    const keys = Array.from({ length: 9000 }, (_, index) => `client ${index}`);
    for (let at = 0; at < keys.length; at += 500) {
      expect(allowedOf(await Promise.all(keys.slice(at, at + 500).map((key) => limiter.consume(key))))).toBe(500);
    }
    // The first were forgotten twice, so that Redis is asked again; the last are remembered.
    expect(await commandsOf(() => limiter.consume(keys[0] ?? ''))).toBe(1);
    expect(await commandsOf(() => limiter.consume(keys.at(-1) ?? ''))).toBe(0);
    expect(await limiter.consume(keys[1] ?? '')).toMatchObject({ allowed: false });
  });
});

describe('while Redis is away', () => {
  it('makes the clients of a paused Redis wait for one timeout, and no more of them after that', async () => {
    const { limiter, clock } = await open();
    pauseRedis();
    const first = many(3, limiter);
    await clock.advance(99);
    const isPending = await Promise.race([first.then(() => false), Promise.resolve(true)]);
    expect(isPending).toBe(true);
    await clock.advance(1);
    expect((await first).map(({ remaining }) => remaining)).toEqual([9, 8, 7]);
    expect(limiter.isShared).toBe(false);
    // The clock stands still: whoever waited for another timeout would wait for ever.
    expect(allowedOf(await many(20, limiter))).toBe(7);
    expect(clock.timers).toBe(1);
  });

  it('lets no client wait long when Redis hangs', async () => {
    const limiter = await openTimed();
    pauseRedis();
    const startedAt = performance.now();
    await many(100, limiter);
    await many(100, limiter);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect(limiter.isShared).toBe(false);
  });

  it('does not take a pause of this process for one of Redis', async () => {
    const limiter = await openTimed();
    const verdict = limiter.consume('me');
    // Until Redis has answered another client, and so this one before; and until the time for an answer is over.
    execFileSync(process.execPath, ['-e', PING, String(redis.port)]);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
    expect(await verdict).toMatchObject({ allowed: true, remaining: 9 });
    expect(limiter.isShared).toBe(true);
  });

  it('gives each client its share of the limit, never more, and shares again when Redis goes on', async () => {
    const { limiter, clock } = await open({ replicas: 3 });
    pauseRedis();
    const asked = many(50, limiter);
    await clock.advance(100);
    const verdicts = await asked;
    expect(allowedOf(verdicts)).toBe(3);
    expect(verdicts.at(-1)).toMatchObject({ allowed: false, limit: 10, remaining: 0 });
    expect(limiter.isShared).toBe(false);

    redis.signal('SIGCONT');
    await counting(limiter, clock);
    // What stood in the socket when Redis was paused has been counted, though late.
    expect(allowedOf(await many(20, limiter))).toBe(0);
  });

  it('counts by itself when Redis was killed, and in Redis again when it is back, though empty', async () => {
    const { limiter, clock } = await open({ replicas: 2 });
    await many(10, limiter);
    await redis.stop();
    try {
      expect(allowedOf(await many(50, limiter, 'other'))).toBe(5);
      expect(limiter.isShared).toBe(false);
    } finally {
      await redis.restart();
    }
    await counting(limiter, clock);
    expect(await limiter.consume('other')).toMatchObject({ allowed: true, remaining: 9 });
    expect(allowedOf(await many(20, limiter, 'third'))).toBe(10);
  });

  it('still limits when Redis was never there', async () => {
    const limiter = createClientLimit(LIMIT, { redis: { url: 'redis://127.0.0.1:1', keyPrefix: nextPrefix() } });
    onTestFinished(() => limiter[Symbol.dispose]());
    expect(allowedOf(await many(50, limiter))).toBe(10);
  });

  it('leaves no timer behind when it is closed', async () => {
    const clock = createFakeClock();
    const limiter = createClientLimit(LIMIT, { redis: { url: 'redis://127.0.0.1:1', keyPrefix: nextPrefix() }, clock });
    await limiter.consume('me');
    expect(clock.timers).toBe(1);
    limiter[Symbol.dispose]();
    expect(clock.timers).toBe(0);
    await limiter.consume('me');
    expect(clock.timers).toBe(0);
  });
});

describe('without Redis', () => {
  it('counts in this process alone', async () => {
    const limiter = createClientLimit(LIMIT);
    const verdicts = await many(12, limiter);
    expect(verdicts.map(({ allowed }) => allowed)).toEqual([...Array<boolean>(10).fill(true), false, false]);
    expect(verdicts[10]).toMatchObject({ limit: 10, remaining: 0 });
    expect(limiter.isShared).toBe(false);
  });

  it('gives the whole allowance again when its time is up', async () => {
    vi.useFakeTimers();
    const limiter = createClientLimit(LIMIT);
    await many(11, limiter);
    await vi.advanceTimersByTimeAsync(40_000);
    expect(await limiter.consume('me')).toMatchObject({ allowed: false, resetMs: 20_000 });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await limiter.consume('me')).toMatchObject({ allowed: true, remaining: 9 });
  });

  it('guards the cache by a generous allowance of each address', async () => {
    const allowance = createLocalAllowance(300);
    expect(allowedOf(await many(400, allowance))).toBe(300);
    expect(await allowance.consume('other')).toMatchObject({ allowed: true, limit: 300, remaining: 299 });
  });
});

describe('a limit that is changed while it counts', () => {
  it('holds from the next request on, and what Redis has counted still counts', async () => {
    const { limiter } = await open();
    await many(6, limiter);
    limiter.retune({ requests: 8, seconds: LIMIT.seconds });
    expect(await limiter.consume('me')).toMatchObject({ allowed: true, limit: 8, remaining: 1 });
    expect(allowedOf(await many(5, limiter))).toBe(1);
    limiter.retune(LIMIT);
    expect(await limiter.consume('me')).toMatchObject({ limit: 10 });
  });

  it('begins anew in a process that counts alone, unless it stays the same', async () => {
    const limiter = createClientLimit(LIMIT);
    await many(10, limiter);
    limiter.retune({ ...LIMIT });
    expect(await limiter.consume('me')).toMatchObject({ allowed: false });
    limiter.retune({ requests: 3, seconds: LIMIT.seconds });
    expect(allowedOf(await many(5, limiter))).toBe(3);
  });
});

describe('more clients than are counted one by one', () => {
  it('share allowances among themselves, and take nothing from those who were known before', async () => {
    const count = createLocalCount({ requests: 2, seconds: 60, maxClients: 100 }, systemClock);
    for (let index = 0; index < 100; index += 1) await count.consume(`known ${index}`);
    let allowed = 0;
    for (let index = 0; index < 20_000; index += 1) {
      if ((await count.consume(`newcomer ${index}`)).allowed) allowed += 1;
    }
    // 4096 shared allowances of two; nearly all of them are found by so many.
    expect(allowed).toBeGreaterThan(7000);
    expect(allowed).toBeLessThanOrEqual(8192);
    expect(await count.consume('known 7')).toMatchObject({ allowed: true, remaining: 0 });
  });

  it('are counted one by one again when the crowd has gone', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const clock = createFakeClock();
    const count = createLocalCount({ requests: 1, seconds: 10, maxClients: 1 }, clock);
    const go = async () => Promise.all([clock.advance(10_000), vi.advanceTimersByTimeAsync(10_000)]);
    await count.consume('first');
    expect(await everyAllowed(count, 20_000)).toBe(false);
    await go();
    await go();
    expect(await count.consume('second')).toMatchObject({ allowed: true });
  });

  it('do not grow the memory without bound', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const limiter = createClientLimit({ requests: 300, seconds: 600 });
    const heapOf = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const fill = async (from: number) => {
      for (let index = from; index < from + 100_000; index += 1)
        await limiter.consume(`address:2001:db8:${index}::/64`);
    };
    await fill(0);
    const before = heapOf();
    await fill(100_000);
    expect(heapOf() - before).toBeLessThan(10 * 1024 ** 2);
  });
});

const everyAllowed = async (count: Pick<ClientLimit, 'consume'>, clients: number): Promise<boolean> => {
  for (let index = 0; index < clients; index += 1) {
    if (!(await count.consume(`newcomer ${index}`)).allowed) return false;
  }
  return true;
};
