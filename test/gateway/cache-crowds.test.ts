import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/emulator/emulator.ts';
import { type Cached, type CachedOptions, type Shared, startCached } from '../kit/cached.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { arriving, asksOf, believedCrowd } from '../kit/visitors.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

const WITH_AND_WITHOUT: [string, () => CachedOptions][] = [
  ['alone', () => ({})],
  ['with a Redis, where counting a client takes a moment', () => ({ redis })],
];

describe('hundreds at once', () => {
  it.each(WITH_AND_WITHOUT)('make one fetch, %s', async (_case, options) => {
    const cached = await startCached(options());
    const crowd = await believedCrowd(cached, 20);
    const file = await cached.share({ restricted: true });
    const seen = await Promise.all(
      Array.from({ length: 15 }, () => crowd.map((token) => cached.see(file, token))).flat(),
    );
    expect(seen.filter(({ body }) => !body.equals(file.picture))).toEqual([]);
    expect(cached.fetches(file)).toBe(1);
    expect(seen.filter(({ cache }) => cache === 'fwd=uri-miss; fwd-status=200; stored')).toHaveLength(1);
  });

  it('make one request where the entry is on the disk, and nobody knows any more who may see it', async () => {
    const cached = await startCached({ replicas: 2, redis });
    const crowd = await believedCrowd(cached, 20);
    const file = await cached.share({ restricted: true });
    expect((await cached.see(file, crowd[0] ?? '')).status).toBe(200);
    await cached.restart();
    const seen = await Promise.all(crowd.map((token) => cached.see(file, token)));
    expect(seen.filter(({ body }) => !body.equals(file.picture))).toEqual([]);
    expect(cached.fetches(file)).toBe(2);
    expect(seen.filter(({ cache }) => cache === 'fwd=request; fwd-status=304')).toHaveLength(1);
  });
});

describe('an upstream that fails', () => {
  it.each<[string, Fault, number, number]>([
    ['by a reset', { kind: 'reset' }, 502, 2],
    ['by a refusal of all', { kind: 'status', status: 500 }, 500, 1],
    ['for its limit', { kind: 'unavailable' }, 503, 2],
    ['by silence', { kind: 'hang' }, 504, 2],
    ['in the middle of its answer, again and again', { kind: 'truncate' }, 502, 2],
  ])('%s is not asked by each of those who wait', async (_case, fault, status, atMost) => {
    const cached = await startCached({
      set: ['retry.attempts=2', 'retry.throttledAttempts=2', 'upstream.answerTimeoutMs=1000'],
    });
    const crowd = await believedCrowd(cached, 20);
    const file = await cached.share();
    const held = cached.gate.hold();
    const visitors = await arriving(cached, file, crowd);
    expect(held.count).toBe(1);
    cached.emulator.fault(fault);
    held.release();
    const replies = await Promise.all(visitors.map(({ reply }) => reply));
    const statuses = new Set(replies.map((reply) => reply.status));
    // Where the upstream had words, its leader gets them; the others get ours.
    statuses.delete(status === 500 ? 502 : status);
    statuses.delete(status);
    expect([...statuses]).toEqual([]);
    expect(cached.fetches(file)).toBeLessThanOrEqual(atMost);
    cached.emulator.clearFaults();
    expect((await cached.see(file, crowd[0] ?? '')).body.equals(file.picture)).toBe(true);
  });
});

describe('a bearer who is not believed', () => {
  async function gallery(options: CachedOptions) {
    const cached = await startCached(options);
    const ann = await cached.believed('ann');
    const files = await Promise.all(Array.from({ length: 12 }, () => cached.share()));
    for (const file of files) expect((await cached.see(file, ann)).status).toBe(200);
    return { cached, files };
  }

  it.each(WITH_AND_WITHOUT)(
    'costs one request, however many kept files it asks for at once, %s',
    async (_case, options) => {
      const { cached, files } = await gallery(options());
      const bob = cached.tokenOf('bob');
      const seen = await Promise.all(files.map((file) => cached.see(file, bob)));
      expect(seen.map(({ body }, index) => body.equals(files[index]?.picture ?? body.subarray(1)))).not.toContain(
        false,
      );
      expect(asksOf(cached, bob)).toBe(1);
    },
  );

  it.each(WITH_AND_WITHOUT)('costs one request when it is refused, %s', async (_case, options) => {
    const { cached, files } = await gallery(options());
    const seen = await Promise.all(files.map((file) => cached.see(file, 'YWMtmadeup')));
    expect(new Set(seen.map(({ status }) => status))).toEqual(new Set([401]));
    expect(asksOf(cached, 'YWMtmadeup')).toBe(1);
  });

  it('is asked about on a connection that is used again', async () => {
    const { cached, files } = await gallery({ set: ['upstream.maxSockets=1'] });
    const before = portsOf(cached).size;
    for (let index = 0; index < 10; index += 1) {
      const seen = await cached.see(files[0] as Shared, cached.tokenOf(`user-${index}`));
      expect(seen.cache).toBe('fwd=request; fwd-status=304');
    }
    expect(portsOf(cached).size).toBe(before);
  });
});

/** The connections that the gate has seen. */
const portsOf = ({ gate }: Cached): Set<number> => new Set(gate.arrived.map(({ port }) => port));
