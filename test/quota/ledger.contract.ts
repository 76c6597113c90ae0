import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Allowances, Ledger, Pacing, Scopes, Slot } from '../../src/quota/ledger.ts';
import { createShiftClock, type ShiftClock } from '../kit/shift-clock.ts';
import { ask, EGRESS, mostIn, thirty, WINDOW_MS } from './redis-account.ts';

/** Opens an account for one test; its first slots are to be had at once. */
export type OpenLedger = (options: { allowances: Allowances; pacing: Pacing }, clock: ShiftClock) => Promise<Ledger>;

/** Times of two clocks differ by what a round trip hides, and real time goes on between two lines of a test. */
const BLUR_MS = 5;
const SMALL_APP: Scopes = ['egress', 'app:small'];

const gapsOf = (slots: readonly Slot[]) => slots.slice(1).map(({ at }, i) => at - (slots[i]?.at ?? at));
const spanOf = (slots: readonly Slot[]) => (slots.at(-1)?.at ?? 0) - (slots[0]?.at ?? 0);

/** What every account of slots promises. */
export function ledgerContract(name: string, open: OpenLedger): void {
  const opened = async (pacing: Pacing = 'auto') => {
    const clock = createShiftClock();
    const ledger = await open({ allowances: thirty, pacing }, clock);
    return { clock, ledger };
  };

  // oxlint-disable-next-line vitest/valid-title -- a contract is run once for each account, and named for it
  describe(name, () => {
    it('hands out the allowance at once while it is free, and the next when the window has passed', async () => {
      const { clock, ledger } = await opened();
      const { slots, askAgainAt } = await ledger.reserve(ask(31));
      const burst = slots.slice(0, 30);
      expect(spanOf(burst)).toBeLessThan(0.1);
      expect(Math.abs((burst[0]?.at ?? 0) - clock.monotonic())).toBeLessThan(100);
      expect(spanOf(slots)).toBeCloseTo(WINDOW_MS, 0);
      expect(askAgainAt).toBeUndefined();
    });

    it('goes evenly while the allowance is used up, a little faster than the mean', async () => {
      const { ledger } = await opened();
      await ledger.reserve(ask(30));
      const { slots } = await ledger.reserve(ask(20));
      for (const gap of gapsOf(slots)) expect(gap).toBeCloseTo((WINDOW_MS / 30) * 0.9, 1);
    });

    it('goes evenly from the first slot on when told to be smooth', async () => {
      const { ledger } = await opened('smooth');
      const { slots, room } = await ledger.reserve(ask(35));
      for (const gap of gapsOf(slots)) expect(gap).toBeCloseTo(WINDOW_MS / 30, 1);
      expect(room).toBe(0);
    });

    it('goes in bursts only, when told so', async () => {
      const { ledger } = await opened('burst');
      const { slots } = await ledger.reserve(ask(60));
      expect(spanOf(slots.slice(0, 30))).toBeLessThan(0.1);
      expect(spanOf(slots.slice(30))).toBeLessThan(0.1);
    });

    it('hands a slot that was given back to the next who asks', async () => {
      const { ledger } = await opened();
      const first = await ledger.reserve(ask(30));
      ledger.giveBack(first.slots.slice(3, 5), EGRESS);
      const { slots } = await ledger.reserve(ask(3));
      const start = first.slots[0]?.at ?? 0;
      expect(slots.map(({ at }) => at - start < 500)).toEqual([true, true, false]);
    });

    it('reckons with the time at which a slot was really used', async () => {
      const { clock, ledger } = await opened('burst');
      const { slots } = await ledger.reserve(ask(30));
      const [late] = slots;
      if (!late) throw new Error('no slot');
      await clock.advance(300);
      const usedAt = clock.monotonic();
      ledger.amend(late, usedAt, EGRESS);
      const next = await ledger.reserve(ask(30));
      expect(spanOf(next.slots.slice(0, 29))).toBeLessThan(0.1);
      expect((next.slots[29]?.at ?? 0) - usedAt).toBeGreaterThan(WINDOW_MS - BLUR_MS);
    });

    it('leaves room for others when an app has used up its own allowance', async () => {
      const { ledger } = await opened();
      const { slots } = await ledger.reserve(ask(7, SMALL_APP));
      expect(spanOf(slots.slice(0, 5))).toBeLessThan(0.1);
      expect(spanOf(slots.slice(0, 6))).toBeGreaterThan(WINDOW_MS - 1);
      const others = await ledger.reserve(ask(25));
      // Two slots of the app lie ahead, and count like all others: the last two of these go evenly already.
      expect(spanOf(others.slots)).toBeLessThan(100);
    });

    it('tells how many slots are to be had at once, and how fast the others come', async () => {
      const { ledger } = await opened();
      const { room, paceMs, share } = await ledger.reserve(ask(10));
      expect([room, share]).toEqual([20, 1]);
      expect(paceMs).toBeCloseTo(WINDOW_MS / 30, 3);
      expect((await ledger.reserve(ask(1, SMALL_APP))).paceMs).toBeCloseTo(WINDOW_MS / 5, 3);
    });

    it('goes evenly for a while after a refusal that nothing explains, and then as before', async () => {
      const { clock, ledger } = await opened();
      const [slot] = (await ledger.reserve(ask(1))).slots;
      if (slot) ledger.refused(slot, EGRESS);
      const { slots } = await ledger.reserve(ask(5));
      for (const gap of gapsOf(slots)) expect(gap).toBeCloseTo(WINDOW_MS / 30, 1);
      await clock.advance(30_500);
      expect(spanOf((await ledger.reserve(ask(30))).slots)).toBeLessThan(0.1);
    });

    it('takes a refusal near the end of the allowance for jitter', async () => {
      const { clock, ledger } = await opened();
      const last = (await ledger.reserve(ask(30))).slots.at(-1);
      if (last) ledger.refused(last, EGRESS);
      await clock.advance(2000);
      expect(spanOf((await ledger.reserve(ask(30))).slots)).toBeLessThan(0.1);
    });

    it('draws no conclusion from a refusal that comes after its slot is forgotten', async () => {
      const { clock, ledger } = await opened();
      const [slot] = (await ledger.reserve(ask(1))).slots;
      await clock.advance(12_000);
      await ledger.reserve(ask(0));
      if (slot) ledger.refused(slot, EGRESS);
      expect(spanOf((await ledger.reserve(ask(30))).slots)).toBeLessThan(0.1);
    });

    it('pauses after a cluster of refusals, longer each time, and probes until one is accepted', async () => {
      const { clock, ledger } = await opened();
      for (const slot of (await ledger.reserve(ask(8))).slots) ledger.refused(slot, EGRESS);
      for (const pauseMs of [500, 1000, 2000]) {
        const { slots, askAgainAt = 0 } = await ledger.reserve(ask(5));
        expect(slots).toEqual([]);
        const waitMs = askAgainAt - clock.monotonic();
        expect(waitMs).toBeGreaterThan(pauseMs - 100);
        expect(waitMs).toBeLessThan(pauseMs + BLUR_MS);
        await clock.advance(waitMs + BLUR_MS);
        const probe = await ledger.reserve(ask(5));
        expect(probe.slots).toHaveLength(1);
        expect(probe.askAgainAt).toBe(probe.slots[0]?.at);
        if (pauseMs < 2000) for (const slot of probe.slots) ledger.refused(slot, EGRESS);
      }
      await clock.advance(50);
      expect((await ledger.reserve(ask(5))).slots).toHaveLength(1);
      await clock.advance(260);
      const { slots } = await ledger.reserve({ ...ask(20), accepted: true });
      expect(slots).toHaveLength(20);
      expect(spanOf(slots)).toBeLessThan(0.1);
    });

    const moves = fc.array(
      fc.record({
        count: fc.integer({ min: 1, max: 12 }),
        isSmall: fc.boolean(),
        keeps: fc.integer({ min: 0, max: 12 }),
        waitMs: fc.nat(400),
      }),
      { minLength: 10, maxLength: 30 },
    );

    it('never has more slots in any window than the allowance, whatever is asked for and given back', async () => {
      await fc.assert(
        fc.asyncProperty(moves, async (steps) => {
          const { clock, ledger } = await opened();
          const used: number[] = [];
          const usedByApp: number[] = [];
          for (const { count, isSmall, keeps, waitMs } of steps) {
            const scopes = isSmall ? SMALL_APP : EGRESS;
            const { slots } = await ledger.reserve(ask(count, scopes));
            expect(slots).toHaveLength(count);
            ledger.giveBack(slots.slice(keeps), scopes);
            const kept = slots.slice(0, keeps).map(({ at }) => at);
            used.push(...kept);
            if (isSmall) usedByApp.push(...kept);
            await clock.advance(waitMs);
          }
          expect(mostIn(WINDOW_MS - BLUR_MS, used)).toBeLessThanOrEqual(30);
          expect(mostIn(WINDOW_MS - BLUR_MS, usedByApp)).toBeLessThanOrEqual(5);
          await ledger[Symbol.asyncDispose]();
          expect(clock.timers).toBe(0);
        }),
        { numRuns: 10 },
      );
    });
  });
}
