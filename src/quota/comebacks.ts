/**
 * When those who were refused are told to come back.
 *
 * Told one by one, each would be told the same: the moment at which one more could be served. They would come together,
 * and most be refused again. So whoever was told a time is reckoned to stand in line from then on, until it has passed,
 * and the next client is told the time after that.
 */
import type { Clock } from '../clock.ts';

/** More clients than this are told what the last of them was. */
const MAX_TOLD = 1000;
/** Not all come back: nobody is told more than this beyond its own wait, in ms. */
const MOST_MS = 30_000;
/** Retry-After counts in seconds; less than one is none, in ms. */
const LEAST_MS = 1000;

/** Times told to clients, in ms of the monotonic clock. */
export class Comebacks {
  readonly #clock: Clock;
  readonly #told = new Map<string, number>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * In how many ms one shall come back that would have to wait for `excessMs` too long, while slots come every `paceMs`
   * and so many `clients` take turns.
   */
  tell(client: string, excessMs: number, { paceMs, clients }: { paceMs: number; clients: number }): number {
    const now = this.#clock.monotonic();
    const earliest = now + Math.max(excessMs, LEAST_MS);
    const told = this.#told.get(client) ?? 0;
    // What one client asks for beside, or asks again before its time, comes in its own turns and puts off nobody else.
    const isFirst = told <= now;
    const next = isFirst ? this.#last + paceMs : told + paceMs * Math.max(1, clients);
    const at = Math.min(Math.max(earliest, next), earliest + MOST_MS);
    if (isFirst) this.#last = at;
    this.#remember(client, at, now);
    return at - now;
  }

  #remember(client: string, at: number, now: number): void {
    this.#told.delete(client);
    // In the order in which they were told, which is nearly that of their times.
    for (const [other, time] of this.#told) {
      if (time > now && this.#told.size < MAX_TOLD) break;
      this.#told.delete(other);
    }
    this.#told.set(client, at);
  }
}
