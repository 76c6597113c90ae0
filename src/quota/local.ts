/**
 * Slots of one process.
 *
 * 1. `#granted` holds the times of the last `perSecond` grants. The next may come when the oldest of them has left the
 *    widened window: so no window of that length ever holds more than `perSecond`.
 * 2. Those who wait stand in one line. A due slot goes to whoever heads it then: one who left costs nothing.
 * 3. The wait is known on arrival, and one that would be too long is refused at once, with the time to come back.
 */
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { QuotaConfig } from './config.ts';
import type { Slots } from './slots.ts';

type Waiter = { grant: () => void; refuse: (error: GatewayError) => void };

/** Opens the quota of one process. */
export const createLocalSlots = (config: QuotaConfig, clock: Clock): Slots => new LocalSlots(config, clock);

class LocalSlots implements Slots {
  readonly #config: QuotaConfig;
  readonly #clock: Clock;
  readonly #spanMs: number;
  /** Times of the last grants, oldest first; never more than `perSecond` of them. */
  readonly #granted: number[] = [];
  /** In order of arrival: a Set takes one out from the middle as cheaply as from the front. */
  readonly #line = new Set<Waiter>();
  #cancelTimer: () => void = () => {};
  #isClosed = false;

  constructor(config: QuotaConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
    this.#spanMs = config.windowMs + config.marginMs;
  }

  get waiting(): number {
    return this.#line.size;
  }

  acquire(signal: AbortSignal): Promise<void> {
    if (this.#isClosed) return Promise.reject(new GatewayError('DRAINING', { retryAfterMs: 1000 }));
    if (signal.aborted) return Promise.reject(new GatewayError('CLIENT_GONE'));
    const waitMs = this.#expectedWaitMs();
    if (waitMs > this.#config.maxWaitMs || this.#line.size >= this.#config.maxQueued) {
      const retryAfterMs = Math.max(1000, waitMs - this.#config.maxWaitMs);
      return Promise.reject(
        new GatewayError('QUEUE_FULL', {
          retryAfterMs,
          reason: `${this.#line.size} wait, the next for ${Math.ceil(waitMs)} ms`,
        }),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = () => {
      this.#line.delete(waiter);
      reject(new GatewayError('CLIENT_GONE', { reason: 'left the queue' }));
    };
    const waiter: Waiter = {
      grant: () => {
        signal.removeEventListener('abort', leave);
        resolve();
      },
      refuse: (error) => {
        signal.removeEventListener('abort', leave);
        reject(error);
      },
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#line.add(waiter);
    this.#serve();
    return promise;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#cancelTimer();
    for (const waiter of this.#line) waiter.refuse(new GatewayError('DRAINING', { retryAfterMs: 1000 }));
    this.#line.clear();
  }

  /** When the slot after the next `ahead` ones is due, in ms from now. */
  #expectedWaitMs(): number {
    const ahead = this.#line.size;
    const free = this.#config.perSecond - this.#granted.length;
    if (ahead < free) return 0;
    const rounds = Math.floor((ahead - free) / this.#config.perSecond);
    const oldest = this.#granted[(ahead - free) % this.#config.perSecond] ?? this.#clock.monotonic();
    return Math.max(0, oldest + this.#spanMs - this.#clock.monotonic()) + rounds * this.#spanMs;
  }

  #serve(): void {
    this.#cancelTimer();
    for (const waiter of this.#line) {
      const now = this.#clock.monotonic();
      const oldest = this.#granted.length < this.#config.perSecond ? undefined : this.#granted[0];
      if (oldest !== undefined && now < oldest + this.#spanMs) {
        this.#cancelTimer = this.#clock.after(oldest + this.#spanMs - now, () => this.#serve());
        return;
      }
      if (oldest !== undefined) this.#granted.shift();
      this.#granted.push(now);
      this.#line.delete(waiter);
      waiter.grant();
    }
  }
}
