import type { Clock } from '../../src/clock.ts';

/** A clock that stands still until it is told to go on. */
export type FakeClock = Clock & {
  /** Goes on by so many ms, and calls back everything due on the way, in order; promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Timers that wait. */
  readonly timers: number;
};

/** Makes a clock that stands at a given time. */
export function createFakeClock(startAt = 1_000_000): FakeClock {
  let now = startAt;
  const timers = new Set<{ at: number; callback: () => void }>();
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    now: () => now,
    monotonic: () => now,
    after(delayMs, callback) {
      const timer = { at: now + delayMs, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const until = now + ms;
      await settle();
      for (;;) {
        const due = [...timers].filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0];
        if (!due) break;
        timers.delete(due);
        now = Math.max(now, due.at);
        due.callback();
        await settle();
      }
      now = until;
      await settle();
    },
    get timers() {
      return timers.size;
    },
  };
}
