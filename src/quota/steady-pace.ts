import type { Clock } from '../clock.ts';

/** A pace has to last for so long to count, in ms. */
const STEADY_MS = 1000;

/** The fastest pace of the last while: one that was slow for a moment only is no reason to refuse anybody. */
export class SteadyPace {
  readonly #clock: Clock;
  #lately: { at: number; paceMs: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(paceMs: number): number {
    const now = this.#clock.monotonic();
    this.#lately = [...this.#lately.filter(({ at }) => at > now - STEADY_MS), { at: now, paceMs }];
    return Math.min(...this.#lately.map((each) => each.paceMs));
  }
}
