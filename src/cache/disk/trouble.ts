import type { Clock } from '../../clock.ts';
import type { About, Notice } from '../../notice.ts';

/** What the second port calls it. */
const CACHE_DISK = 'cacheDisk';

const WARN_EVERY_MS = 60_000;

/** Warns of what goes wrong, at most once a minute, and says when it is over. */
export class Trouble {
  readonly #notice: Notice;
  readonly #clock: Clock;
  readonly #dir: string;
  #warnedAt = -Infinity;
  #isLasting = false;

  constructor(notice: Notice, clock: Clock, dir: string) {
    this.#notice = notice;
    this.#clock = clock;
    this.#dir = dir;
  }

  /** Something went wrong once. */
  warn(message: string, reason?: string, about?: About): void {
    const now = this.#clock.monotonic();
    if (now - this.#warnedAt < WARN_EVERY_MS) return;
    this.#warnedAt = now;
    this.#notice('warn', message, { dir: this.#dir, ...(reason === undefined ? {} : { reason }) }, about);
  }

  /** Something is wrong until it is said to be over; how it began is always told. */
  begin(message: string, reason?: string): void {
    if (!this.#isLasting) this.#warnedAt = -Infinity;
    this.#isLasting = true;
    this.warn(message, reason, { component: CACHE_DISK, is: 'degraded' });
  }

  end(): void {
    if (!this.#isLasting) return;
    this.#isLasting = false;
    const about: About = { component: CACHE_DISK, is: 'ok' };
    this.#notice('info', "the cache's disk is used again", { dir: this.#dir }, about);
  }
}
