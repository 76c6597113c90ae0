import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLocalSlots } from '../../src/quota/local.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const RULE = { perSecond: 3, windowMs: 1000, marginMs: 0, maxWaitMs: 10_000, maxQueued: 100 };
const nobodyLeaves = new AbortController().signal;

function open(rule: Partial<typeof RULE> = {}) {
  const clock = createFakeClock();
  const startedAt = clock.monotonic();
  const slots = createLocalSlots({ ...RULE, ...rule }, clock);
  const grants: { name: string; at: number }[] = [];
  const ask = (name: string, signal = nobodyLeaves) =>
    slots.acquire(signal).then(() => void grants.push({ name, at: clock.monotonic() - startedAt }));
  return { clock, slots, grants, ask };
}

describe('local slots', () => {
  it('hand out the whole allowance at once, then one as each leaves the window', async () => {
    const { clock, grants, ask } = open();
    const asked = ['a', 'b', 'c', 'd', 'e'].map((name) => ask(name));
    await clock.advance(999);
    expect(grants.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    await clock.advance(1);
    await Promise.all(asked);
    expect(grants.map(({ at }) => at)).toEqual([0, 0, 0, 1000, 1000]);
  });

  it('widen the window by the margin', async () => {
    const { clock, grants, ask } = open({ perSecond: 1, marginMs: 35 });
    const asked = [ask('a'), ask('b')];
    await clock.advance(1035);
    await Promise.all(asked);
    expect(grants.map(({ at }) => at)).toEqual([0, 1035]);
  });

  it('pass the slot of a client that left to the next in line', async () => {
    const { clock, grants, ask, slots } = open({ perSecond: 1 });
    const left = new AbortController();
    const first = ask('first');
    const leaver = ask('leaver', left.signal);
    const last = ask('last');
    left.abort();
    await expect(leaver).rejects.toMatchObject({ code: 'CLIENT_GONE' });
    expect(slots.waiting).toBe(1);
    await clock.advance(1000);
    await Promise.all([first, last]);
    expect(grants).toEqual([
      { name: 'first', at: 0 },
      { name: 'last', at: 1000 },
    ]);
  });

  it('refuse at once whoever would wait too long, and tell the time to come back', async () => {
    const { ask, clock } = open({ perSecond: 1, maxWaitMs: 2000 });
    const served = ['now', 'in 1 s', 'in 2 s'].map((name) => ask(name));
    await expect(ask('in 3 s')).rejects.toMatchObject({ code: 'QUEUE_FULL', retryAfterMs: 1000 });
    await clock.advance(2000);
    await Promise.all(served);
  });

  it('refuse whoever would make the line longer than allowed', async () => {
    const { ask, slots } = open({ perSecond: 1, maxQueued: 1 });
    await ask('served');
    const waiting = ask('waiting').catch((error: unknown) => error);
    await expect(ask('too many')).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    slots[Symbol.dispose]();
    expect(await waiting).toMatchObject({ code: 'DRAINING' });
    await expect(ask('late')).rejects.toMatchObject({ code: 'DRAINING' });
  });

  it('refuse a client that has already gone', async () => {
    await expect(open().ask('gone', AbortSignal.abort())).rejects.toMatchObject({ code: 'CLIENT_GONE' });
  });

  it('never put more than the allowance into any window, and lose nobody, whoever comes and leaves when', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ pauseMs: fc.nat(400), leavesAfterMs: fc.option(fc.nat(3000)) }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 5 }),
        async (clients, perSecond) => {
          const { clock, grants, ask, slots } = open({ perSecond, maxWaitMs: 1_000_000 });
          const endings: Promise<unknown>[] = [];
          for (const { pauseMs, leavesAfterMs } of clients) {
            await clock.advance(pauseMs);
            const leaving = new AbortController();
            endings.push(ask('x', leaving.signal).catch(() => {}));
            if (leavesAfterMs !== null) clock.after(leavesAfterMs, () => leaving.abort());
          }
          await clock.advance(100_000);
          await Promise.all(endings);
          expect(slots.waiting).toBe(0);
          for (const [i, { at }] of grants.entries()) {
            const earlier = grants[i - perSecond];
            if (earlier) expect(at - earlier.at).toBeGreaterThanOrEqual(1000);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
