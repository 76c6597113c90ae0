import { describe, expect, it } from 'vitest';
import { createLocalLedger } from '../../src/quota/local-ledger.ts';
import { createSlots, type SlotsOptions } from '../../src/quota/slots.ts';
import type { SlotRequest } from '../../src/quota/waiter.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const OPTIONS: SlotsOptions = {
  maxQueued: 4,
  maxQueuedPerClient: 3,
  maxQueuedBytes: 1000,
  unprovenShare: 0.2,
  spareRoom: 1,
  weights: {},
  scopesOf: () => ['egress'],
};

/** Two slots in a second, and what the quota tells of itself. */
function open() {
  const clock = createFakeClock();
  const ledger = createLocalLedger({ allowances: () => ({ slots: 2, windowMs: 1000 }), pacing: 'burst' }, clock);
  const slots = createSlots(OPTIONS, ledger, clock);
  const ask = (more: Partial<SlotRequest> = {}) => {
    const request: SlotRequest = {
      client: 'c1',
      app: 'o/a',
      bearer: 'b',
      isProven: true,
      priority: 0,
      kind: 'download',
      bytes: 0,
      maxWaitMs: 60_000,
      isRetry: false,
      isSpare: false,
      signal: new AbortController().signal,
      ...more,
    };
    const slot = slots.acquire(request);
    slot.catch(() => {});
    return slot;
  };
  return { clock, slots, ask };
}

describe('the quota', () => {
  it('tells who waits, of which kind, how much that weighs, and for how long', async () => {
    const { clock, slots, ask } = open();
    void ask();
    void ask();
    await clock.advance(0);
    void ask({ kind: 'upload', bytes: 300 });
    await clock.advance(100);
    void ask({ kind: 'upload', bytes: 400 });
    void ask({ kind: 'thumbnail' });
    await clock.advance(50);
    const { waiting } = slots.stats();
    expect([...waiting]).toEqual([
      ['upload', { requests: 2, bytes: 700, oldestMs: 150 }],
      ['thumbnail', { requests: 1, bytes: 0, oldestMs: 50 }],
    ]);
  });

  it('tells how many slots were used, in the last window and ever', async () => {
    const { clock, slots, ask } = open();
    await Promise.all([ask(), ask()]);
    expect(slots.stats().usedWithin(1000)).toEqual(new Map([['egress', 2]]));
    await clock.advance(1000);
    expect(slots.stats().usedWithin(1000)).toEqual(new Map([['egress', 0]]));
    expect(slots.stats().slots.granted).toBe(2);
  });

  it('tells what became of slots that nobody used', async () => {
    const { clock, slots, ask } = open();
    await Promise.all([ask(), ask()]);
    const leaving = new AbortController();
    void ask({ signal: leaving.signal });
    await clock.advance(10);
    leaving.abort();
    await clock.advance(10);
    expect(slots.stats().slots).toEqual({ granted: 2, returned: 1, expired: 0 });
  });

  it.each<[string, string, (busy: Awaited<ReturnType<typeof openBusy>>) => unknown]>([
    ['deadline', 'would wait too long', ({ ask }) => ask({ maxWaitMs: 10 })],
    ['client_cap', 'has too many that wait', ({ ask }) => [ask(), ask(), ask(), ask()]],
    ['full', 'finds too many others', ({ ask }) => ['c1', 'c2', 'c3', 'c4', 'c5'].map((client) => ask({ client }))],
    ['bytes', 'weighs too much', ({ ask }) => ask({ bytes: 1001 })],
    ['disconnected', 'has left before', ({ ask }) => ask({ signal: AbortSignal.abort() })],
    [
      'disconnected',
      'leaves while it waits',
      ({ ask }) => {
        const leaving = new AbortController();
        void ask({ signal: leaving.signal });
        leaving.abort();
      },
    ],
    [
      'draining',
      'still waits at the end',
      ({ ask, slots }) => {
        void ask();
        return slots[Symbol.asyncDispose]();
      },
    ],
  ])('counts as %s one that %s', async (why, _, refuse) => {
    const busy = await openBusy();
    refuse(busy);
    await busy.clock.advance(0);
    const none = { deadline: 0, full: 0, client_cap: 0, bytes: 0, draining: 0, disconnected: 0 };
    expect(busy.slots.stats().refused).toEqual({ ...none, [why]: 1 });
  });
});

/** One whose slots are used up. */
async function openBusy() {
  const busy = open();
  await Promise.all([busy.ask(), busy.ask()]);
  return busy;
}
