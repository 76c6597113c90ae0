import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CAUTION } from '../../src/quota/caution.ts';
import {
  type Allowance,
  CATCH_UP,
  type Pacing,
  type ScopeName,
  type Scopes,
  type Slot,
} from '../../src/quota/ledger.ts';
import { createLocalLedger } from '../../src/quota/local-ledger.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { connected, freshPrefix } from './redis-account.ts';

/** The scripts, on a clock that stands still: both accounts must see the very same time. */
const onTestClock = (name: string) => {
  const source = readFileSync(new URL(`../../src/quota/lua/${name}.lua`, import.meta.url), 'utf8');
  const stopped = source.replace("redis.call('TIME')", '{ 0, 0 }');
  if (stopped === source) throw new Error(`${name}.lua reads its clock in another way`);
  return stopped;
};
const RESERVE = onTestClock('reserve');
const REFUSED = onTestClock('refused');

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());

type Rule = { pacing: Pacing; egress: Allowance; app: Allowance };

/** The account as the scripts keep it, at a time that is given with each call. */
function luaAccount(redis: Redis, prefix: string, { pacing, egress, app }: Rule) {
  const key = (name: string) => `${prefix}${name}`;
  const allowance = (scope: ScopeName) => (scope === 'egress' ? egress : app);
  return {
    async reserve(
      now: number,
      count: number,
      scopes: Scopes,
      accepted: boolean,
    ): Promise<{ slots: Slot[]; isHeldUp: boolean }> {
      const keys = ['state', 'members', 'clients', ...scopes.flatMap((scope) => [`slots:${scope}`, `rates:${scope}`])];
      const rates = scopes.flatMap((scope) => [allowance(scope).slots, allowance(scope).windowMs]);
      const args = [
        'one',
        count,
        '1;0',
        0,
        0,
        0,
        pacing,
        accepted ? 1 : 0,
        3000,
        60_000,
        now,
        CATCH_UP,
        CAUTION.probeMs,
        CAUTION.firstPauseMs,
        0.25,
      ];
      const reply = (await redis.eval(RESERVE, keys.length, ...keys.map(key), ...args, ...rates)) as string[];
      const slots = reply.slice(9).flatMap((id, i, all) => (i % 2 === 0 ? [{ id, at: Number(all[i + 1]) }] : []));
      return { slots, isHeldUp: reply[8] === '1' };
    },
    giveBack: (slot: Slot, scopes: Scopes) =>
      Promise.all(scopes.map((scope) => redis.zrem(key(`slots:${scope}`), slot.id))),
    amend: (slot: Slot, usedAt: number, scopes: Scopes) =>
      Promise.all(scopes.map((scope) => redis.zadd(key(`slots:${scope}`), 'XX', usedAt, slot.id))),
    async refused(now: number, slot: Slot) {
      const { cluster, clusterMs, firstPauseMs, longestPauseMs, firstSmoothMs, longestSmoothMs, surprise } = CAUTION;
      const args = [slot.id, egress.slots, egress.windowMs, now, 60_000, cluster, clusterMs, firstPauseMs];
      const more = [longestPauseMs, firstSmoothMs, longestSmoothMs, surprise];
      await redis.eval(REFUSED, 3, key('state'), key('refusals'), key('slots:egress'), ...args, ...more);
    },
  };
}

const SCOPES: Scopes[] = [['egress'], ['egress', 'app:x']];
const allowances = fc.record({ slots: fc.integer({ min: 1, max: 8 }), windowMs: fc.integer({ min: 20, max: 400 }) });
const rules = fc.record({
  pacing: fc.constantFrom<Pacing>('auto', 'smooth', 'burst'),
  egress: allowances,
  app: allowances,
});
const steps = fc.array(
  fc.record({
    waitMs: fc.oneof(fc.nat(60), fc.nat(900)),
    count: fc.integer({ min: 1, max: 5 }),
    withApp: fc.nat(1),
    after: fc.constantFrom('keep', 'keep', 'give back', 'amend', 'refuse'),
    which: fc.nat(20),
    accepted: fc.boolean(),
  }),
  { minLength: 1, maxLength: 40 },
);

describe('the rule in Lua', () => {
  it('gives the same times as the rule here, for any history', async () => {
    const redis = (await connected(server.url)) as Redis;
    await fc.assert(
      fc.asyncProperty(rules, steps, async (rule, moves) => {
        const clock = createFakeClock();
        const here = createLocalLedger(
          { allowances: (scope) => (scope === 'egress' ? rule.egress : rule.app), pacing: rule.pacing },
          clock,
        );
        const there = luaAccount(redis, freshPrefix(), rule);
        const pairs: { mine: Slot; theirs: Slot; scopes: Scopes }[] = [];
        for (const { waitMs, count, withApp, after, which, accepted } of moves) {
          // Whole microseconds on both sides, so that rounding up in the script never adds up.
          await clock.advance(waitMs);
          const now = clock.monotonic();
          const scopes = SCOPES[withApp] ?? ['egress'];
          const { slots: mine, isHeldUp } = await here.reserve({
            count,
            scopes,
            clients: { proven: 1, unproven: 0 },
            accepted,
          });
          const { slots: theirs, isHeldUp: isHeldUpThere } = await there.reserve(now, count, scopes, accepted);
          expect(isHeldUpThere).toBe(isHeldUp);
          const byTime = theirs.toSorted((a, b) => a.at - b.at);
          expect(byTime.length).toBe(mine.length);
          for (const [i, { at }] of mine.entries()) expect(Math.abs(at - (byTime[i]?.at ?? 0))).toBeLessThan(0.05);
          for (const [i, slot] of mine.entries()) {
            const other = byTime[i];
            if (other) pairs.push({ mine: slot, theirs: other, scopes });
          }
          const pair = pairs[pairs.length - 1 - (which % Math.max(1, pairs.length))];
          if (!pair) continue;
          if (after === 'give back') {
            here.giveBack([pair.mine], pair.scopes);
            await there.giveBack(pair.theirs, pair.scopes);
          } else if (after === 'amend') {
            here.amend(pair.mine, now, pair.scopes);
            await there.amend(pair.theirs, now, pair.scopes);
          } else if (after === 'refuse') {
            here.refused(pair.mine, pair.scopes);
            await there.refused(now, pair.theirs);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
