/** Time as a dependency: whoever needs the time or a timer is handed one of these. */
export type Clock = {
  /** Milliseconds since the Unix epoch, for what is shown or compared with dates. */
  now(): number;
  /** Milliseconds on a clock that never goes back, for intervals. */
  monotonic(): number;
  /** Calls back once after so many milliseconds; the returned function takes that back. */
  after(delayMs: number, callback: () => void): () => void;
};

/** The machine's own clock; its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
