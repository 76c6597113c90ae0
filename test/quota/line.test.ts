import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import type { Allowances, Ledger } from '../../src/quota/ledger.ts';
import { createLocalLedger } from '../../src/quota/local-ledger.ts';
import { createSlots, type Slots, type SlotsOptions } from '../../src/quota/slots.ts';
import type { SlotInUse, SlotRequest } from '../../src/quota/waiter.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { WINDOW_MS } from './redis-account.ts';

/** Thirty for the egress; a hundred for each app but one. */
const allowances: Allowances = (scope) => ({
  slots: scope === 'egress' ? 30 : scope === 'app:small' ? 5 : 100,
  windowMs: WINDOW_MS,
});

const options: SlotsOptions = {
  maxQueued: 5000,
  maxQueuedPerClient: 1000,
  maxQueuedBytes: 1_000_000,
  unprovenShare: 0.2,
  spareRoom: 15,
  weights: {},
  scopesOf: ({ app }) => ['egress', `app:${app}`],
};

const open = (more: Partial<SlotsOptions> = {}, wrap = (ledger: Ledger): Ledger => ledger) => {
  const clock = createFakeClock();
  const ledger = wrap(createLocalLedger({ allowances, pacing: 'auto' }, clock));
  return { clock, slots: createSlots({ ...options, ...more }, ledger, clock) };
};

/** Asks for many, and counts who is served and what is refused. */
const crowd = (slots: Slots) => {
  const served = new Map<string, number>();
  const refused: { name: string; error: GatewayError }[] = [];
  return {
    served: (name: string) => served.get(name) ?? 0,
    refused,
    come: (name: string, count: number, requestOf: (i: number) => Partial<SlotRequest>) => {
      for (let i = 0; i < count; i += 1) {
        const request: SlotRequest = {
          client: name,
          app: 'o/a',
          bearer: 'b',
          isProven: true,
          priority: 0,
          kind: 'download',
          bytes: 0,
          maxWaitMs: 600_000,
          isRetry: false,
          isSpare: false,
          signal: new AbortController().signal,
          ...requestOf(i),
        };
        const serve = (slot: SlotInUse) => {
          slot.departed();
          slot.accepted();
          served.set(name, (served.get(name) ?? 0) + 1);
        };
        slots
          .acquire(request)
          .then(serve)
          .catch((thrown: unknown) => {
            refused.push({ name, error: GatewayError.from(thrown) });
          });
      }
    },
  };
};

describe('a line whose apps have allowances of their own', () => {
  it('keeps the weights of apps among each other', async () => {
    const { clock, slots } = open({ weights: { big: 3 } });
    const { come, served } = crowd(slots);
    come('big', 400, (i) => ({ app: 'big', client: `b${i}` }));
    come('other', 400, (i) => ({ app: 'other', client: `o${i}` }));
    await clock.advance(6 * WINDOW_MS);
    expect(served('big') + served('other')).toBeGreaterThanOrEqual(180);
    expect(served('big') / served('other')).toBeGreaterThan(2.7);
    expect(served('big') / served('other')).toBeLessThan(3.3);
  });

  it('serves the better class first, whosever app it is', async () => {
    const { clock, slots } = open();
    const { come, served } = crowd(slots);
    come('uploads', 200, (i) => ({ app: 'x', client: `u${i}`, priority: 2 }));
    come('thumbnails', 60, (i) => ({ app: 'y', client: `t${i}`, priority: 0 }));
    await clock.advance(2 * WINDOW_MS);
    // What was reserved before the first thumbnail came may still be used.
    expect(served('uploads')).toBeLessThanOrEqual(12);
    expect(served('thumbnails')).toBeGreaterThanOrEqual(48);
  });

  it('gives made-up tokens of ever new apps no more than their lane', async () => {
    const { clock, slots } = open();
    const { come, served } = crowd(slots);
    come('good', 300, (i) => ({ app: 'x', client: `g${i}` }));
    come('bad', 1000, (i) => ({ app: `made-up-${i}`, client: 'bad', isProven: false }));
    await clock.advance(6 * WINDOW_MS);
    const share = served('bad') / (served('bad') + served('good'));
    expect(share).toBeLessThanOrEqual(0.22);
    expect(share).toBeGreaterThan(0.15);
  });

  it('lets an app at its own limit hold up nobody else, and not make up for it afterwards', async () => {
    const { clock, slots } = open();
    const { come, served } = crowd(slots);
    come('small', 300, (i) => ({ app: 'small', client: `s${i}` }));
    come('other', 600, (i) => ({ app: 'other', client: `o${i}` }));
    await clock.advance(6 * WINDOW_MS);
    expect(served('small')).toBeGreaterThanOrEqual(30);
    expect(served('small')).toBeLessThanOrEqual(35);
    expect(served('small') + served('other')).toBeGreaterThanOrEqual(178);
  });

  it('tells at once that an app at its own limit has no time to serve one more', async () => {
    const { clock, slots } = open();
    const { come, refused } = crowd(slots);
    come('small', 100, (i) => ({ app: 'small', client: `s${i}`, maxWaitMs: 5000 }));
    come('other', 100, (i) => ({ app: 'other', client: `o${i}`, maxWaitMs: 5000 }));
    await clock.advance(0);
    const names = refused.map(({ name }) => name);
    expect(names.filter((name) => name === 'small').length).toBeGreaterThan(65);
    expect(names.filter((name) => name === 'other').length).toBeLessThan(10);
  });

  it('leaves no timer and no track behind', async () => {
    const { clock, slots } = open();
    const { come } = crowd(slots);
    come('many', 300, (i) => ({ app: `o/${i}`, client: `c${i}` }));
    await clock.advance(20 * WINDOW_MS);
    expect([slots.waiting, clock.timers]).toEqual([0, 0]);
  });
});

it('wakes up for every time at which it may ask again, however closely that is passed', async () => {
  const clock = createFakeClock();
  let reads = 0;
  // Time goes on between any two looks at the clock.
  const running = { ...clock, monotonic: () => clock.monotonic() + (reads += 1) * 0.01 };
  let asked = 0;
  const ledger = createLocalLedger({ allowances, pacing: 'auto' }, running);
  const pausing: Ledger = {
    replicas: 1,
    async reserve(ask) {
      asked += 1;
      if (asked % 4 === 0) return ledger.reserve(ask);
      const outlook = ledger.outlook(ask.scopes);
      // A few looks at the clock from now on.
      return { ...outlook, slots: [], isHeldUp: false, askAgainAt: running.monotonic() + (asked % 12) * 0.01 };
    },
    giveBack: (slots, scopes) => ledger.giveBack(slots, scopes),
    amend: (slot, at, scopes) => ledger.amend(slot, at, scopes),
    refused: (slot, scopes) => ledger.refused(slot, scopes),
    outlook: (scopes) => ledger.outlook(scopes),
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
  const slots = createSlots({ ...options, scopesOf: () => ['egress'] }, pausing, running);
  const { come, served } = crowd(slots);
  for (let round = 1; round <= 100; round += 1) {
    come('one', 1, () => ({}));
    await clock.advance(1000);
    expect(served('one')).toBe(round);
  }
});

describe('a line that learns of others', () => {
  /** An account that says, from its first grant on, that other replicas have most of the clients. */
  const shared =
    (share: () => number) =>
    (ledger: Ledger): Ledger => ({
      replicas: 3,
      reserve: async (ask) => ({ ...(await ledger.reserve(ask)), share: share(), paceMs: WINDOW_MS / 30 }),
      giveBack: (slots, scopes) => ledger.giveBack(slots, scopes),
      amend: (slot, at, scopes) => ledger.amend(slot, at, scopes),
      refused: (slot, scopes) => ledger.refused(slot, scopes),
      outlook: (scopes) => ledger.outlook(scopes),
      [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
    });

  it('tells those whose time will not suffice as soon as that shows, and not at their deadline', async () => {
    const { clock, slots } = open(
      { scopesOf: () => ['egress'] },
      shared(() => 0.25),
    );
    const { come, refused } = crowd(slots);
    come('crowd', 250, (i) => ({ client: `c${i}`, maxWaitMs: 10_000 }));
    // A pace has to last for a second to count.
    await clock.advance(1500);
    // A quarter of thirty a second, for ten seconds.
    expect(250 - refused.length).toBeGreaterThan(70);
    expect(250 - refused.length).toBeLessThan(120);
    expect(refused.every(({ error }) => error.code === 'QUEUE_FULL')).toBe(true);
    const told = refused.map(({ error }) => error.retryAfterMs ?? 0);
    expect(Math.max(...told) - Math.min(...told)).toBeGreaterThan(10_000);
  });

  it('reckons with those who came since it asked: a share of one client among a hundred is none of a hundred among two', async () => {
    let waiting = 0;
    const others = 99;
    const { clock, slots } = open({ scopesOf: () => ['egress'] }, (ledger) => ({
      replicas: 2,
      async reserve(ask) {
        const own = ask.clients.proven;
        waiting = Math.max(waiting, own);
        // The first who ask are one or two, while the other replica has told of all its own already.
        return { ...(await ledger.reserve(ask)), share: own / (own + others), paceMs: WINDOW_MS / 30 };
      },
      giveBack: (slots, scopes) => ledger.giveBack(slots, scopes),
      amend: (slot, at, scopes) => ledger.amend(slot, at, scopes),
      refused: (slot, scopes) => ledger.refused(slot, scopes),
      outlook: (scopes) => ledger.outlook(scopes),
      [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
    }));
    const { come, refused } = crowd(slots);
    come('one', 1, () => ({ maxWaitMs: 10_000 }));
    await clock.advance(5);
    // A hundred here and as many there: half of thirty a second, so they need seven seconds.
    come('crowd', 99, (i) => ({ client: `c${i}`, maxWaitMs: 10_000 }));
    await clock.advance(2000);
    expect(waiting).toBeGreaterThan(50);
    expect(refused).toEqual([]);
  });

  it('refuses nobody who was let in because of a pace that may soon be better', async () => {
    const { clock, slots } = open({ scopesOf: () => ['egress'] }, (ledger) => ({
      ...shared(() => 0.1)(ledger),
      reserve: async (ask) => ({ ...(await ledger.reserve(ask)), share: 0.1, isPassing: true }),
    }));
    const { come, refused } = crowd(slots);
    come('crowd', 150, (i) => ({ client: `c${i}`, maxWaitMs: 10_000 }));
    await clock.advance(3000);
    expect(refused).toEqual([]);
  });
});
