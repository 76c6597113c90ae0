import { describe, expect, it } from 'vitest';
import { createLocalLedger } from '../../src/quota/local-ledger.ts';
import type { SlotInUse } from '../../src/quota/waiter.ts';
import { createSlots } from '../../src/quota/slots.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const OPTIONS = {
  maxQueued: 1000,
  maxQueuedPerClient: 1000,
  maxQueuedBytes: 1e9,
  unprovenShare: 0.2,
  spareRoom: 15,
  weights: {},
  scopesOf: () => ['egress'] as const,
};

describe('an attempt that goes out later than its slot', () => {
  // Thirty may be let go at once by a process too busy to send them: had they counted from when they were let go, they
  // would go out together with the thirty of the next window, and the upstream would see sixty in a second.
  it('counts from when it really went, for those that wait behind it too', async () => {
    const clock = createFakeClock(0);
    const ledger = createLocalLedger({ allowances: () => ({ slots: 30, windowMs: 1000 }), pacing: 'auto' }, clock);
    await using slots = createSlots(OPTIONS, ledger, clock);
    const departures: number[] = [];
    const granted: SlotInUse[] = [];
    const depart = (slot: SlotInUse) => {
      departures.push(clock.monotonic());
      slot.departed();
    };
    const { signal } = new AbortController();
    const ask = () =>
      slots.acquire({
        client: 'c',
        app: 'o/a',
        kind: 'upload',
        bearer: 'b',
        isProven: true,
        priority: 0,
        bytes: 0,
        maxWaitMs: 60_000,
        isRetry: false,
        isSpare: false,
        signal,
      });
    const first = Array.from({ length: 30 }, () => ask().then((slot) => granted.push(slot)));
    await Promise.all(first);
    const rest = Array.from({ length: 40 }, () => ask().then(depart));
    await clock.advance(900);
    for (const slot of granted) depart(slot);
    await clock.advance(10_000);
    await Promise.all(rest);

    expect(departures).toHaveLength(70);
    for (const [i, at] of departures.entries()) {
      const thirtyBefore = departures[i - 30];
      if (thirtyBefore !== undefined) expect(at - thirtyBefore).toBeGreaterThanOrEqual(999);
    }
  });
});
