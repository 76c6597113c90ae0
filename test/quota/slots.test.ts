import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import type { Ledger, Slot } from '../../src/quota/ledger.ts';
import type { SlotInUse, SlotRequest } from '../../src/quota/waiter.ts';
import { createLocalLedger } from '../../src/quota/local-ledger.ts';
import { createSlots, type Slots, type SlotsOptions } from '../../src/quota/slots.ts';
import { createFakeClock, type FakeClock } from '../kit/fake-clock.ts';
import { mostIn, thirty, WINDOW_MS } from './redis-account.ts';

const PACE_MS = WINDOW_MS / 30;

/** An account of this process, and what the queue does with it. */
type Watched = Ledger & { granted: number; returned: number; amended: Slot[] };

const watched = (ledger: Ledger): Watched => {
  const seen: Watched = {
    granted: 0,
    returned: 0,
    amended: [],
    async reserve(ask) {
      const grant = await ledger.reserve(ask);
      seen.granted += grant.slots.length;
      return grant;
    },
    giveBack(slots, scopes) {
      seen.returned += slots.length;
      ledger.giveBack(slots, scopes);
    },
    amend(slot, usedAt, scopes) {
      seen.amended.push(slot);
      ledger.amend(slot, usedAt, scopes);
    },
    refused: (slot, scopes) => ledger.refused(slot, scopes),
    outlook: (scopes) => ledger.outlook(scopes),
    replicas: 1,
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
  return seen;
};

const options: SlotsOptions = {
  maxQueued: 1000,
  maxQueuedPerClient: 300,
  maxQueuedBytes: 1_000_000,
  unprovenShare: 0.2,
  spareRoom: 15,
  weights: {},
  scopesOf: () => ['egress'],
};

const open = (more: Partial<SlotsOptions> = {}) => {
  const clock = createFakeClock();
  const ledger = watched(createLocalLedger({ allowances: thirty, pacing: 'auto' }, clock));
  return { clock, ledger, slots: createSlots({ ...options, ...more }, ledger, clock) };
};

const requestOf = (client: string, more: Partial<SlotRequest> = {}): SlotRequest => ({
  client,
  app: 'o/a',
  bearer: 'b',
  isProven: true,
  priority: 0,
  kind: 'download',
  bytes: 0,
  maxWaitMs: 10_000,
  isRetry: false,
  isSpare: false,
  signal: new AbortController().signal,
  ...more,
});

type Outcome = { name: string; at: number; slot?: SlotInUse; error?: GatewayError };

/** Asks, and notes what comes of it and when. */
const acquire = (slots: Slots, clock: FakeClock, outcomes: Outcome[], name: string, request: SlotRequest) => {
  slots.acquire(request).then(
    (slot) => {
      slot.departed();
      return outcomes.push({ name, at: clock.monotonic(), slot });
    },
    (thrown: unknown) => outcomes.push({ name, at: clock.monotonic(), error: GatewayError.from(thrown) }),
  );
};

const served = (outcomes: readonly Outcome[]) => outcomes.filter(({ slot }) => slot).map(({ name }) => name);
const codes = (outcomes: readonly Outcome[]) => outcomes.flatMap(({ error }) => error?.code ?? []);

describe('slots', () => {
  it('serves at once whoever finds the allowance free', async () => {
    const { clock, slots } = open();
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 30; i += 1) acquire(slots, clock, outcomes, `r${i}`, requestOf('a'));
    await clock.advance(0);
    expect(served(outcomes)).toHaveLength(30);
  });

  it('spends nothing on a thousand that left before their turn', async () => {
    const { clock, ledger, slots } = open({ maxQueuedPerClient: 2000 });
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 30; i += 1) acquire(slots, clock, outcomes, 'first', requestOf('a'));
    await clock.advance(10);
    const leaving = new AbortController();
    for (let i = 0; i < 900; i += 1) {
      acquire(slots, clock, outcomes, 'leaver', requestOf('b', { signal: leaving.signal, maxWaitMs: 60_000 }));
    }
    acquire(slots, clock, outcomes, 'stayer', requestOf('c', { maxWaitMs: 60_000 }));
    await clock.advance(500);
    leaving.abort();
    await clock.advance(1100);
    expect(served(outcomes).filter((name) => name === 'leaver')).toEqual([]);
    expect(codes(outcomes)).toEqual(Array.from({ length: 900 }, () => 'CLIENT_GONE'));
    expect(served(outcomes).at(-1)).toBe('stayer');
    expect(ledger.granted - ledger.returned).toBe(31);
    expect([slots.waiting, clock.timers]).toEqual([0, 0]);
  });

  it('binds a slot when it is due: one that leaves is not missed by the next', async () => {
    const { clock, slots } = open();
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 30; i += 1) acquire(slots, clock, outcomes, 'first', requestOf('a'));
    await clock.advance(10);
    const leaving = new AbortController();
    acquire(slots, clock, outcomes, 'leaver', requestOf('b', { signal: leaving.signal }));
    acquire(slots, clock, outcomes, 'next', requestOf('c'));
    await clock.advance(1000);
    leaving.abort();
    await clock.advance(26);
    expect(served(outcomes).at(-1)).toBe('next');
  });

  it('refuses at once what could not be served in time, and says honestly when to come back', async () => {
    const { clock, slots } = open();
    const outcomes: Outcome[] = [];
    // In ten seconds there are 30 at once, and about 260 more.
    for (let i = 0; i < 500; i += 1) acquire(slots, clock, outcomes, `${i}`, requestOf(`c${i % 50}`));
    await clock.advance(0);
    const refusals = outcomes.filter(({ error }) => error);
    expect(refusals.length).toBeGreaterThan(210);
    expect(refusals.length).toBeLessThan(222);
    expect(new Set(codes(refusals))).toEqual(new Set(['QUEUE_FULL']));
    const { retryAfterMs = 0 } = refusals.at(-1)?.error ?? {};
    expect(retryAfterMs).toBeGreaterThanOrEqual(1000);
    await clock.advance(10_100);
    expect(codes(outcomes)).toHaveLength(refusals.length);
    expect(served(outcomes)).toHaveLength(500 - refusals.length);
  });

  it('serves one that comes back when it was told to', async () => {
    const { clock, slots } = open({ maxQueuedPerClient: 1000 });
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 250; i += 1) acquire(slots, clock, outcomes, `${i}`, requestOf('a'));
    await clock.advance(10);
    acquire(slots, clock, outcomes, 'mine', requestOf('a', { maxWaitMs: 2000 }));
    await clock.advance(0);
    const { retryAfterMs = 0 } = outcomes.find(({ name }) => name === 'mine')?.error ?? {};
    expect(retryAfterMs).toBeGreaterThan(5000);
    await clock.advance(retryAfterMs);
    acquire(slots, clock, outcomes, 'again', requestOf('a', { maxWaitMs: 2200 }));
    await clock.advance(2200);
    expect(served(outcomes)).toContain('again');
  });

  it('refuses one whose wait has become too long after all', async () => {
    const { clock, ledger, slots } = open();
    const outcomes: Outcome[] = [];
    const taken = await ledger.reserve({
      count: 8,
      scopes: ['egress'],
      clients: { proven: 1, unproven: 0 },
      accepted: false,
    });
    acquire(slots, clock, outcomes, 'served', requestOf('a'));
    await clock.advance(0);
    for (const slot of taken.slots) ledger.refused(slot, ['egress']);
    acquire(slots, clock, outcomes, 'unlucky', requestOf('a', { maxWaitMs: 300 }));
    await clock.advance(299);
    expect(codes(outcomes)).toEqual([]);
    await clock.advance(1);
    expect(codes(outcomes)).toEqual(['QUEUE_FULL']);
    expect(outcomes.at(-1)?.error?.retryAfterMs).toBeGreaterThanOrEqual(1000);
  });

  it('serves a retry before all that have not had a turn yet, also when the queue is full', async () => {
    const { clock, slots } = open({ maxQueued: 40 });
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 70; i += 1) acquire(slots, clock, outcomes, `new${i}`, requestOf(`c${i}`));
    await clock.advance(10);
    acquire(slots, clock, outcomes, 'retry', requestOf('z', { isRetry: true, bytes: 2_000_000 }));
    await clock.advance(WINDOW_MS);
    expect(served(outcomes)[30]).toBe('retry');
  });

  it('bounds what waits: in all, of one client, and in bytes', async () => {
    const { clock, slots } = open({ maxQueued: 12, maxQueuedPerClient: 5, maxQueuedBytes: 100 });
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 30; i += 1) acquire(slots, clock, outcomes, 'first', requestOf(`f${i}`));
    await clock.advance(10);
    for (let i = 0; i < 7; i += 1) acquire(slots, clock, outcomes, 'greedy', requestOf('greedy'));
    acquire(slots, clock, outcomes, 'heavy', requestOf('heavy', { bytes: 101 }));
    acquire(slots, clock, outcomes, 'light', requestOf('light', { bytes: 100 }));
    for (let i = 0; i < 7; i += 1) acquire(slots, clock, outcomes, 'many', requestOf(`m${i}`));
    await clock.advance(0);
    expect(outcomes.flatMap(({ name, error }) => (error ? [name] : []))).toEqual(['greedy', 'greedy', 'heavy', 'many']);
    await clock.advance(2000);
    expect(slots.waiting).toBe(0);
    acquire(slots, clock, outcomes, 'later', requestOf('later', { bytes: 100 }));
    await clock.advance(0);
    expect(served(outcomes).at(-1)).toBe('later');
  });

  it('lets none wait, and all pass that need not, when none may wait', async () => {
    const { clock, slots } = open({ maxQueued: 0 });
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 35; i += 1) acquire(slots, clock, outcomes, `${i}`, requestOf('a'));
    await clock.advance(0);
    expect([served(outcomes).length, codes(outcomes).length]).toEqual([30, 5]);
  });

  it('uses a slot late where the process was busy, and says so; one that is far too late it drops', async () => {
    const clock = createFakeClock();
    let stalledMs = 0;
    // A busy process finds that time has passed, before its timers do.
    const stalling = { ...clock, monotonic: () => clock.monotonic() + stalledMs };
    const ledger = watched(createLocalLedger({ allowances: thirty, pacing: 'auto' }, stalling));
    const slots = createSlots(options, ledger, stalling);
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 36; i += 1) acquire(slots, clock, outcomes, `${i}`, requestOf('a'));
    await clock.advance(10);
    expect(served(outcomes)).toHaveLength(30);
    stalledMs = 100;
    await clock.advance(WINDOW_MS - 10);
    expect(ledger.amended.length).toBeGreaterThan(0);
    const amended = ledger.amended.length;
    const servedBefore = served(outcomes).length;
    stalledMs = 1000;
    await clock.advance(PACE_MS);
    expect(ledger.amended.length - amended).toBeLessThanOrEqual(served(outcomes).length - servedBefore);
    await clock.advance(3000);
    expect(served(outcomes)).toHaveLength(36);
    expect(slots.waiting).toBe(0);
  });

  it('refuses everybody when it closes, and leaves nothing behind', async () => {
    const { clock, ledger, slots } = open();
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 40; i += 1) acquire(slots, clock, outcomes, `${i}`, requestOf('a'));
    await clock.advance(10);
    await slots[Symbol.asyncDispose]();
    acquire(slots, clock, outcomes, 'late', requestOf('a'));
    await clock.advance(0);
    expect(codes(outcomes)).toEqual(Array.from({ length: 11 }, () => 'DRAINING'));
    expect(ledger.granted - ledger.returned).toBe(30);
    expect(clock.timers).toBe(0);
  });

  it('probes with one request after a pause, and lets all go on once it was accepted', async () => {
    const { clock, slots } = open();
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 60; i += 1) acquire(slots, clock, outcomes, `${i}`, requestOf('a'));
    await clock.advance(10);
    for (const { slot } of outcomes.slice(0, 8)) slot?.refused();
    await clock.advance(1700);
    const probing = served(outcomes).length;
    await clock.advance(600);
    expect(served(outcomes).length - probing).toBeLessThanOrEqual(3);
    outcomes.at(-1)?.slot?.accepted();
    await clock.advance(1100);
    expect(served(outcomes)).toHaveLength(60);
  });

  it('keeps no line of an app that nobody waits in any more', async () => {
    const { clock, slots } = open({ maxQueued: 0, scopesOf: ({ app }) => ['egress', `app:${app}`] });
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 500; i += 1) acquire(slots, clock, outcomes, `${i}`, requestOf('a', { app: `o/${i}` }));
    await clock.advance(2000);
    expect([slots.waiting, clock.timers, outcomes.length]).toEqual([0, 0, 500]);
  });

  it('gives a spare slot only while nobody waits and much is free, and makes nobody wait for it', async () => {
    const { clock, ledger, slots } = open();
    const outcomes: Outcome[] = [];
    const spare = requestOf('nobody', { isSpare: true });
    acquire(slots, clock, outcomes, 'spare', spare);
    await clock.advance(0);
    expect(served(outcomes)).toEqual(['spare']);
    for (let i = 0; i < 20; i += 1) acquire(slots, clock, outcomes, 'busy', requestOf('a'));
    await clock.advance(10);
    acquire(slots, clock, outcomes, 'not spare', spare);
    await clock.advance(0);
    expect(codes(outcomes)).toEqual(['QUEUE_FULL']);
    for (let i = 0; i < 20; i += 1) acquire(slots, clock, outcomes, 'waiting', requestOf('a'));
    acquire(slots, clock, outcomes, 'nor while others wait', spare);
    await clock.advance(3 * WINDOW_MS);
    expect(codes(outcomes)).toEqual(['QUEUE_FULL', 'QUEUE_FULL']);
    // What was asked for in vain was given back.
    expect(ledger.granted - ledger.returned).toBe(1 + 40);
    expect([slots.waiting, clock.timers]).toEqual([0, 0]);
  });

  it('lets all who wait with credentials go on as proven once these are accepted', async () => {
    const { clock, slots } = open();
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 30; i += 1) acquire(slots, clock, outcomes, 'first', requestOf(`f${i}`));
    await clock.advance(10);
    for (let i = 0; i < 60; i += 1) {
      acquire(slots, clock, outcomes, 'others', requestOf(`o${i}`, { bearer: 'other', isProven: false }));
    }
    for (let i = 0; i < 20; i += 1) {
      acquire(slots, clock, outcomes, 'mine', requestOf(`m${i}`, { bearer: 'mine', isProven: false }));
    }
    slots.prove('mine');
    await clock.advance(2 * WINDOW_MS);
    // Twenty of thirty, but for what the lane of the unproven gets meanwhile.
    expect(
      served(outcomes)
        .slice(30, 56)
        .filter((name) => name === 'mine').length,
    ).toBeGreaterThanOrEqual(19);
  });

  const steps = fc.array(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('come' as const),
          many: fc.integer({ min: 1, max: 12 }),
          client: fc.constantFrom('a', 'b', 'c', 'd'),
          app: fc.constantFrom('x', 'y'),
          isProven: fc.boolean(),
          maxWaitMs: fc.constantFrom(50, 1000, 10_000),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), which: fc.nat(200) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('refuse' as const), which: fc.nat(200) }) },
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(400) }) },
    ),
    { maxLength: 80 },
  );

  it('loses nobody, serves nobody twice and nobody that left, uses no slot twice, and keeps to the allowance', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (moves, byApp) => {
        const { clock, ledger, slots } = open({
          scopesOf: ({ app }) => (byApp ? ['egress', `app:${app}`] : ['egress']),
        });
        const usedIds: Slot[] = [];
        ledger.refused = (slot) => void usedIds.push(slot);
        const outcomes: Outcome[] = [];
        const came: { name: string; leaving: AbortController; deadline: number; hasLeft: boolean }[] = [];
        let names = 0;
        const come = (request: Partial<SlotRequest> & { client: string }) => {
          const leaving = new AbortController();
          const name = `${(names += 1)}`;
          const full = requestOf(request.client, { ...request, signal: leaving.signal });
          came.push({ name, leaving, deadline: clock.monotonic() + full.maxWaitMs, hasLeft: false });
          acquire(slots, clock, outcomes, name, full);
        };
        for (const move of moves) {
          if (move.kind === 'come') {
            const { many, kind: _, ...request } = move;
            for (let i = 0; i < many; i += 1) come(request);
          } else if (move.kind === 'wait') await clock.advance(move.ms);
          else if (move.kind === 'leave') {
            const one = came[move.which % Math.max(1, came.length)];
            if (one && !outcomes.some(({ name }) => name === one.name)) {
              one.hasLeft = true;
              one.leaving.abort();
            }
          } else if (outcomes.some(({ slot }) => slot)) come({ client: 'a', isRetry: true, app: 'x' });
        }
        await clock.advance(30_000);

        expect(outcomes.map(({ name }) => name).toSorted()).toEqual(came.map(({ name }) => name).toSorted());
        for (const { name, at, slot } of outcomes) {
          const one = came.find((each) => each.name === name);
          if (!slot) continue;
          slot.refused();
          expect(one?.hasLeft).toBe(false);
          expect(at).toBeLessThanOrEqual(one?.deadline ?? 0);
          expect(Math.abs((usedIds.at(-1)?.at ?? 0) - at)).toBeLessThanOrEqual(0.5);
        }
        expect(new Set(usedIds.map(({ id }) => id)).size).toBe(usedIds.length);
        expect(
          mostIn(
            WINDOW_MS - 0.02,
            usedIds.map(({ at }) => at),
          ),
        ).toBeLessThanOrEqual(30);
        expect(ledger.granted - ledger.returned).toBe(usedIds.length);
        expect([slots.waiting, clock.timers]).toEqual([0, 0]);
      }),
      { numRuns: 40 },
    );
  });

  it('starves nobody: one of a quiet client waits for no more than its turn among the busy ones', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), fc.nat(500), async (busy, waitMs) => {
        const { clock, slots } = open();
        const outcomes: Outcome[] = [];
        for (let i = 0; i < 250; i += 1) {
          acquire(slots, clock, outcomes, 'busy', requestOf(`b${i % busy}`, { maxWaitMs: 60_000 }));
        }
        await clock.advance(waitMs);
        const cameAt = clock.monotonic();
        acquire(slots, clock, outcomes, 'quiet', requestOf('quiet', { maxWaitMs: 60_000 }));
        await clock.advance(3000);
        const waitedMs = (outcomes.find(({ name }) => name === 'quiet')?.at ?? Infinity) - cameAt;
        expect(waitedMs).toBeLessThan(WINDOW_MS + (busy + 2) * PACE_MS);
      }),
      { numRuns: 15 },
    );
  });
});

describe('slots that end', () => {
  it('refuse at once who would have a turn only after the end, and serve all others', async () => {
    const { clock, slots } = open({ maxQueuedPerClient: 1000 });
    const outcomes: Outcome[] = [];
    const long = { maxWaitMs: 60_000 };
    for (let i = 0; i < 120; i += 1) acquire(slots, clock, outcomes, `r${i}`, requestOf('a', long));
    await clock.advance(10);
    expect(served(outcomes)).toHaveLength(30);
    const askedAt = clock.monotonic();
    slots.endWithin(1500);
    await clock.advance(0);
    const refused = outcomes.filter(({ error }) => error);
    expect(new Set(codes(outcomes))).toEqual(new Set(['DRAINING']));
    expect(refused.every(({ error, at }) => (error?.retryAfterMs ?? 0) > 0 && at === askedAt)).toBe(true);
    expect(refused.length).toBeGreaterThan(30);
    // Who comes now fares as those who were there: there is no turn left for it.
    acquire(slots, clock, outcomes, 'newcomer', requestOf('a', long));
    await clock.advance(0);
    expect(outcomes.at(-1)).toMatchObject({ name: 'newcomer', error: { code: 'DRAINING' } });
    await clock.advance(60_000);
    expect(outcomes).toHaveLength(121);
    expect(served(outcomes).length + codes(outcomes).length).toBe(121);
    for (const { slot, at } of outcomes) if (slot) expect(at - askedAt).toBeLessThanOrEqual(1500 + WINDOW_MS);
    // Those that were due in time have had their turns: half a second's worth behind the first window.
    expect(served(outcomes).length).toBeGreaterThan(40);
  });

  it('tell how one that came now would fare, and hold nothing for it', async () => {
    const { clock, ledger, slots } = open();
    const outcomes: Outcome[] = [];
    expect(slots.outlook(requestOf('a'))).toEqual({ waitMs: 0, waiting: 0, replicas: 1 });
    for (let i = 0; i < 45; i += 1) acquire(slots, clock, outcomes, `r${i}`, requestOf('a'));
    await clock.advance(10);
    const { granted } = ledger;
    const { waitMs, waiting } = slots.outlook(requestOf('a'));
    expect(waiting).toBe(15);
    expect(waitMs).toBeGreaterThan(PACE_MS);
    expect(ledger.granted).toBe(granted);
    await clock.advance(10_000);
    expect(served(outcomes)).toHaveLength(45);
  });
});
