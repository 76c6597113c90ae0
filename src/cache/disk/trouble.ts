import type { Clock } from '../../clock.ts';
import type { Notice } from '../../notice.ts';

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
  warn(message: string, reason?: string): void {
    const now = this.#clock.monotonic();
    if (now - this.#warnedAt < WARN_EVERY_MS) return;
    this.#warnedAt = now;
    this.#notice('warn', message, { dir: this.#dir, ...(reason === undefined ? {} : { reason }) });
  }

  /** Something is wrong until it is said to be over. */
  begin(message: string, reason?: string): void {
    this.#isLasting = true;
    this.warn(message, reason);
  }

  end(): void {
    if (!this.#isLasting) return;
    this.#isLasting = false;
    this.#notice('info', "the cache's disk is used again", { dir: this.#dir });
  }
}
