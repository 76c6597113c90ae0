import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Allowances, Slot } from '../../src/quota/ledger.ts';
import type { RedisConnection } from '../../src/redis/connection.ts';
import { COMMAND_TIMEOUT_MS } from '../../src/redis/connection.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { ask, connected, EGRESS, freshPrefix, mostIn, replicaOf, WINDOW_MS } from './redis-account.ts';

/** Longer than the hold of a new account. */
const HOLD_MS = 1500;
/** What offsets of clocks may be wrong by on a busy machine, in ms. */
const BLUR_MS = 60;

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());

const setUp = async () => {
  const clock = createShiftClock();
  const keyPrefix = freshPrefix();
  const redis = await connected(server.url);
  const replica = (name: string, more: Partial<Parameters<typeof replicaOf>[2]> = {}) =>
    replicaOf(redis, clock, { keyPrefix, replica: name, ...more });
  return { clock, keyPrefix, redis, replica };
};

/** The slots as Redis has them, in ms of its clock. */
const grantsIn = async (redis: RedisConnection, keyPrefix: string, egress = 'e1', scope = 'egress') => {
  const entries = await redis.zrangebyscore(`${keyPrefix}v2:{${egress}}:slots:${scope}`, '-inf', '+inf', 'WITHSCORES');
  return entries.filter((_, i) => i % 2 === 1).map(Number);
};

const isBurst = (slots: readonly Slot[]) => (slots.at(-1)?.at ?? 0) - (slots[0]?.at ?? 0) < 1;

describe('the account in Redis', () => {
  it('begins with a hold, since others may have slots that it forgot', async () => {
    const { clock, replica } = await setUp();
    const [slot] = (await replica('a').reserve(ask(1))).slots;
    const waitMs = (slot?.at ?? 0) - clock.monotonic();
    expect(waitMs).toBeGreaterThan(WINDOW_MS);
    expect(waitMs).toBeLessThan(HOLD_MS);
  });

  it('never grants more than the allowance in any window of its own clock, to however many replicas', async () => {
    const move = fc.record({
      who: fc.nat(2),
      count: fc.integer({ min: 1, max: 12 }),
      keeps: fc.nat(12),
      waitMs: fc.nat(300),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 20, maxLength: 40 }), async (moves) => {
        const { clock, keyPrefix, redis, replica } = await setUp();
        const replicas = [replica('a'), replica('b'), replica('c')];
        const seen = new Set<number>();
        for (const { who, count, keeps, waitMs } of moves) {
          const one = replicas[who];
          const { slots = [] } = (await one?.reserve(ask(count))) ?? {};
          await one?.giveBack(slots.slice(keeps), EGRESS);
          for (const at of await grantsIn(redis, keyPrefix)) seen.add(at);
          await clock.advance(waitMs);
        }
        const left = await grantsIn(redis, keyPrefix);
        expect(mostIn(WINDOW_MS - 0.02, left)).toBeLessThanOrEqual(30);
        expect(seen.size).toBeGreaterThan(0);
      }),
      { numRuns: 8 },
    );
  });

  it('gives all replicas together the whole allowance, and each the slots that it asked for', async () => {
    const { clock, keyPrefix, redis, replica } = await setUp();
    const replicas = [replica('a'), replica('b'), replica('c')];
    const got: number[] = [0, 0, 0];
    for (const one of replicas) await one.reserve(ask(0));
    await clock.advance(HOLD_MS);
    for (let round = 0; round < 60; round += 1) {
      for (const [i, one] of replicas.entries()) got[i] = (got[i] ?? 0) + (await one.reserve(ask(1))).slots.length;
    }
    expect(got).toEqual([60, 60, 60]);
    const grants = (await grantsIn(redis, keyPrefix)).toSorted((a, b) => a - b);
    expect(new Set(grants).size).toBeGreaterThan(140);
    expect(mostIn(WINDOW_MS - 0.02, grants)).toBe(30);
    expect((grants[150] ?? 0) - (grants[30] ?? 0)).toBeCloseTo(4 * WINDOW_MS, 0);
  });

  it('tells each replica its share by the clients that wait there', async () => {
    const { replica } = await setUp();
    const [a, b] = [replica('a'), replica('b')];
    await a.reserve({ ...ask(1), clients: { proven: 6, unproven: 0 } });
    const { share, members } = await b.reserve({ ...ask(1), clients: { proven: 2, unproven: 0 } });
    expect([share, members]).toEqual([0.25, 2]);
    expect((await a.reserve({ ...ask(1), clients: { proven: 6, unproven: 0 } })).share).toBe(0.75);
  });

  it('gives all unproven clients together no more than their lane, however many they are and wherever they wait', async () => {
    const { replica } = await setUp();
    const [a, b, c] = [replica('a'), replica('b'), replica('c')];
    await a.reserve({ ...ask(1), clients: { proven: 4, unproven: 0 } });
    await b.reserve({ ...ask(1), clients: { proven: 0, unproven: 30 } });
    const { share } = await c.reserve({ ...ask(1), clients: { proven: 0, unproven: 10 } });
    expect(share).toBeCloseTo(0.2 / 4, 6);
    expect((await a.reserve({ ...ask(1), clients: { proven: 4, unproven: 0 } })).share).toBeCloseTo(0.8, 6);
    expect((await a.reserve({ ...ask(1), clients: { proven: 0, unproven: 10 } })).share).toBeCloseTo(0.2, 6);
  });

  it('counts a replica out when it leaves, and when it is not heard of any more', async () => {
    const { clock, replica } = await setUp();
    const [a, b, c] = [replica('a'), replica('b'), replica('c')];
    for (const one of [a, b, c]) await one.reserve({ ...ask(0), clients: { proven: 1, unproven: 0 } });
    expect((await a.reserve(ask(0))).members).toBe(3);
    await c.leave();
    expect(await a.reserve(ask(1))).toMatchObject({ members: 2, share: 0.5 });
    await clock.advance(3100);
    expect(await a.reserve(ask(1))).toMatchObject({ members: 1, share: 1 });
  });

  it('counts by the lowest rate that any replica believes in, and says so once', async () => {
    const { clock, replica } = await setUp();
    let warnings = 0;
    const careful: Allowances = () => ({ slots: 10, windowMs: WINDOW_MS });
    const [a, b] = [replica('a', { onLowered: () => (warnings += 1) }), replica('b', { allowances: careful })];
    await b.reserve(ask(0));
    await a.reserve(ask(0));
    await clock.advance(HOLD_MS);
    await b.reserve(ask(0));
    const { slots, paceMs } = await a.reserve(ask(11));
    expect([isBurst(slots.slice(0, 10)), isBurst(slots)]).toEqual([true, false]);
    expect(paceMs).toBeCloseTo(WINDOW_MS / 10, 2);
    expect(warnings).toBe(1);
    await clock.advance(6000);
    expect(isBurst((await a.reserve(ask(30))).slots)).toBe(true);
  });

  it('compares rates within a scope: what one app may do says nothing of the egress', async () => {
    const { clock, replica } = await setUp();
    let warnings = 0;
    const a = replica('a', { onLowered: () => (warnings += 1) });
    const b = replica('b');
    await a.reserve(ask(0));
    await clock.advance(HOLD_MS);
    await b.reserve(ask(1, ['app:small']));
    expect(isBurst((await a.reserve(ask(25))).slots)).toBe(true);
    expect(warnings).toBe(0);
  });

  it('keeps egresses apart', async () => {
    const { clock, replica } = await setUp();
    const [a, b] = [replica('a', { egress: 'e1' }), replica('b', { egress: 'e2' })];
    for (const one of [a, b]) await one.reserve(ask(0));
    await clock.advance(HOLD_MS);
    for (const one of [a, b]) {
      const { slots, members } = await one.reserve(ask(30));
      expect([isBurst(slots), members]).toEqual([true, 1]);
    }
  });

  it('names every key by prefix, layout and one hash tag, and lets none stay for ever', async () => {
    const { keyPrefix, redis, replica } = await setUp();
    const a = replica('a');
    const { slots } = await a.reserve(ask(1, ['egress', 'app:small']));
    for (const slot of slots) await a.refused(slot, EGRESS);
    const keys = await redis.keys(`${keyPrefix}*`);
    expect(keys.length).toBeGreaterThanOrEqual(8);
    for (const key of keys) {
      expect(key.startsWith(`${keyPrefix}v2:{e1}:`)).toBe(true);
      expect(await redis.pttl(key)).toBeGreaterThan(0);
    }
    expect(await redis.pttl(`${keyPrefix}v2:{e1}:state`)).toBeGreaterThan(3_600_000);
  });

  it('does not notice that the script cache was flushed', async () => {
    const { clock, redis, replica } = await setUp();
    const a = replica('a');
    await a.reserve(ask(1));
    await clock.advance(HOLD_MS);
    await redis.script('FLUSH');
    const { slots } = await a.reserve(ask(1));
    expect(slots).toHaveLength(1);
    await redis.script('FLUSH');
    await expect(Promise.all(slots.map((slot) => a.refused(slot, EGRESS)))).resolves.toHaveLength(1);
  });

  it('holds anew when it was lost, and takes no slot away for one of the lost account', async () => {
    const { clock, keyPrefix, redis, replica } = await setUp();
    const a = replica('a');
    await a.reserve(ask(0));
    await clock.advance(HOLD_MS);
    const old = (await a.reserve(ask(5))).slots;
    await redis.del(await redis.keys(`${keyPrefix}*`));
    const fresh = (await a.reserve(ask(5))).slots;
    expect((fresh[0]?.at ?? 0) - clock.monotonic()).toBeGreaterThan(WINDOW_MS);
    await a.giveBack(old, EGRESS);
    expect(await grantsIn(redis, keyPrefix)).toHaveLength(5);
  });

  it('grants nothing to a call that arrives when nobody waits for it any more', async () => {
    const { clock, keyPrefix, redis, replica } = await setUp();
    let lateMs = 0;
    const a = replica('a', { shiftMs: () => clock.shiftMs + lateMs });
    await a.reserve(ask(0));
    await clock.advance(HOLD_MS);
    lateMs = COMMAND_TIMEOUT_MS + 50;
    await expect(a.reserve(ask(5))).rejects.toThrow('too late');
    expect(await grantsIn(redis, keyPrefix)).toEqual([]);
  });

  it('asks all to wait when one comes back, once for those who come back together', async () => {
    const { clock, replica } = await setUp();
    const [a, b] = [replica('a'), replica('b')];
    for (const one of [a, b]) await one.reserve(ask(0));
    await clock.advance(HOLD_MS + 500);
    await a.reserve(ask(0), true);
    const start = clock.monotonic();
    await clock.advance(300);
    await b.reserve(ask(0), true);
    const [slot] = (await b.reserve(ask(1))).slots;
    expect(Math.abs((slot?.at ?? 0) - start - WINDOW_MS * 1.4)).toBeLessThan(100);
  });

  it.each([-20_000, -5000, -400, 400, 5000, 20_000])(
    'never exceeds the allowance in any real second when its clock is set by %i ms, and soon gives all of it again',
    async (jumpMs) => {
      const { clock, replica } = await setUp();
      let jumpedMs = 0;
      const shiftMs = () => clock.shiftMs + jumpedMs;
      const replicas = ['a', 'b', 'c'].map((name) => replica(name, { shiftMs }));
      const used: number[] = [];
      let inVain = 0;
      const askAll = async () => {
        for (const one of replicas) {
          // Behind a shared ledger this replica would go on alone for a moment; here it sends nothing meanwhile.
          const { slots } = await one.reserve(ask(4)).catch(() => ({ slots: [] as Slot[] }));
          if (slots.length === 0) inVain += 1;
          const soon = clock.monotonic() + 400;
          const near = slots.filter(({ at }) => at < soon);
          used.push(...near.map(({ at }) => at));
          await one.giveBack(slots.slice(near.length), EGRESS);
        }
        // A replica that starts just then knows of no earlier time.
        if (jumpedMs !== 0 && jumpMs < 0) {
          const { slots } = await replica('new', { shiftMs }).reserve(ask(4));
          used.push(...slots.map(({ at }) => at));
        }
      };
      for (let i = 0; i < 16; i += 1) {
        await askAll();
        await clock.advance(100);
      }
      jumpedMs = jumpMs;
      const jumpAt = clock.monotonic();
      for (let i = 0; i < 60; i += 1) {
        await askAll();
        await clock.advance(100);
      }
      expect(mostIn(WINDOW_MS - BLUR_MS, used)).toBeLessThanOrEqual(30);
      expect(inVain).toBeLessThanOrEqual(6);
      const later = used.filter((at) => at > jumpAt + 2000 && at < jumpAt + 6000);
      expect(later.length).toBeGreaterThan(95);
    },
  );

  it('costs Redis little', async () => {
    const { clock, redis, replica } = await setUp();
    const a = replica('a');
    await a.reserve(ask(0));
    await clock.advance(HOLD_MS);
    await redis.config('RESETSTAT');
    for (let i = 0; i < 300; i += 1) {
      await a.reserve(ask(2));
      await clock.advance(69);
    }
    const [, micros = '0'] = /cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(await redis.info('commandstats')) ?? [];
    // Measured far below on an idle machine; a machine that does other things besides must not fail the test.
    expect(Number(micros)).toBeGreaterThan(0);
    expect(Number(micros)).toBeLessThan(1500);
    if (process.env['SHOW_FIGURES']) process.stdout.write(`reserve: ${micros} us in Redis\n`);
  });
});
