import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../src/clock.ts';

/** Real time, and as much more as a test has added: what talks to real servers goes on while hours pass. */
export type ShiftClock = Clock & {
  /** What was added so far, in ms; for whoever has a clock of its own. */
  readonly shiftMs: number;
  /** Adds so many ms, and calls back everything due on the way, in order; real answers may arrive in between. */
  advance(ms: number): Promise<void>;
  /** Timers that wait. */
  readonly timers: number;
};

type Timer = { at: number; callback: () => void; real: NodeJS.Timeout };

/** Makes a clock that goes on with real time. `settleMs` is the real time left to answers after each timer. */
export function createShiftClock(settleMs = 2): ShiftClock {
  let shiftMs = 0;
  const timers = new Set<Timer>();
  const monotonic = () => performance.now() + shiftMs;
  const fire = (timer: Timer) => {
    clearTimeout(timer.real);
    if (timers.delete(timer)) timer.callback();
  };
  return {
    now: () => Date.now() + shiftMs,
    monotonic,
    after(delayMs, callback) {
      const timer: Timer = { at: monotonic() + delayMs, callback, real: setTimeout(() => fire(timer), delayMs) };
      timers.add(timer);
      return () => {
        clearTimeout(timer.real);
        timers.delete(timer);
      };
    },
    async advance(ms) {
      const until = monotonic() + ms;
      for (;;) {
        const due = [...timers].filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0];
        if (!due) break;
        shiftMs += Math.max(0, due.at - monotonic());
        fire(due);
        await sleep(settleMs);
      }
      shiftMs += Math.max(0, until - monotonic());
    },
    get shiftMs() {
      return shiftMs;
    },
    get timers() {
      return timers.size;
    },
  };
}
