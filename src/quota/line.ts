import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { createFairQueue, type FairQueue, type FairQueueConfig, type Place } from './fair-queue.ts';
import type { Ledger, Scopes, Slot } from './ledger.ts';

/** What a request is for; each kind may have an allowance of its own. */
export type Kind = 'upload' | 'download' | 'thumbnail';

/** A request for leave to make an attempt; `isRetry`: it had a slot and was refused, so it stands first. */
export type SlotRequest = Place & { kind: Kind; bytes: number; maxWaitMs: number; isRetry: boolean; signal: AbortSignal };

/** A slot in use: `refused` tells that the upstream refused the attempt for its rate, `accepted` that it did not. */
export type SlotInUse = { refused(): void; accepted(): void };

/** How fair the queue of a line is. */
export type LineOptions = FairQueueConfig;

/** Slots that all replicas together hold reserved: under half a second of thirty a second. */
const AHEAD = 12;
/** Up to here a slot counts as used in time, in ms; the margin covers it. */
const IN_TIME_MS = 12;
/** From here on a slot is too late to be used. */
const TOO_LATE_MS = 400;
/** A wait ends this much before its slot, in ms: timers are never early, but often late. */
const EARLY_MS = 0.5;

type Waiter = SlotRequest & { grant(slot: SlotInUse): void; refuse(error: GatewayError): void };

/** The refusal of one that would wait, or has waited, too long; the time to come back is a second at least. */
export const queueFull = (retryAfterMs: number, reason: string): GatewayError =>
  new GatewayError('QUEUE_FULL', { retryAfterMs: Math.max(1000, retryAfterMs), reason });

/** The queue and the reserved slots of those who count for the same scopes. */
export class Line {
  readonly queue: FairQueue<Waiter>;
  readonly #scopes: Scopes;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  /** Reserved and not yet due, in order of time. */
  #reserved: Slot[] = [];
  #isAsking = false;
  #isClosed = false;
  #hasAccepted = false;
  #share = 1;
  #paceMs = 0;
  #askAgainAt = 0;
  #cancelTimer: () => void = () => {};

  constructor(scopes: Scopes, options: LineOptions, ledger: Ledger, clock: Clock, onIdle: () => void) {
    this.queue = createFairQueue(options);
    this.#scopes = scopes;
    this.#ledger = ledger;
    this.#clock = clock;
    this.#onIdle = onIdle;
  }

  get isIdle(): boolean {
    return this.queue.size === 0 && this.#reserved.length === 0 && !this.#isAsking;
  }

  /** How long one that comes now will wait: until the slot of the last one ahead is due, and on at this replica's pace. */
  expectedWaitMs(place: Place): number {
    const now = this.#clock.monotonic();
    const ahead = this.queue.ahead(place);
    const slot = this.#reserved[ahead];
    if (slot) return Math.max(0, slot.at - now);
    const last = Math.max(now, this.#reserved.at(-1)?.at ?? 0, this.#askAgainAt);
    return last - now + (ahead - this.#reserved.length) * (this.#paceMs / this.#share);
  }

  wait(request: SlotRequest): Promise<SlotInUse> {
    const { promise, resolve, reject } = Promise.withResolvers<SlotInUse>();
    const { signal } = request;
    const end = () => {
      signal.removeEventListener('abort', leave);
      cancelDeadline();
    };
    const waiter: Waiter = {
      ...request,
      grant(slot) {
        end();
        resolve(slot);
      },
      refuse(error) {
        end();
        reject(error);
      },
    };
    const giveUp = (error: GatewayError) => {
      if (!this.queue.remove(waiter)) return;
      waiter.refuse(error);
      this.#serve();
    };
    const leave = () => giveUp(new GatewayError('CLIENT_GONE', { reason: 'left the queue' }));
    const cancelDeadline = this.#clock.after(request.maxWaitMs, () =>
      giveUp(queueFull(this.#paceMs / this.#share, `waited for ${request.maxWaitMs} ms`)),
    );
    signal.addEventListener('abort', leave, { once: true });
    if (request.isRetry) this.queue.pushFirst(waiter);
    else this.queue.push(waiter);
    this.#serve();
    return promise;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
    for (let waiter = this.queue.shift(); waiter; waiter = this.queue.shift()) {
      waiter.refuse(new GatewayError('DRAINING', { retryAfterMs: 1000 }));
    }
    this.#giveBackFrom(0);
  }

  #serve(): void {
    if (this.#isClosed) return;
    this.#cancelTimer();
    this.#useDueSlots();
    this.#giveBackFrom(this.queue.size);
    this.#reserveMore();
    const next = this.#reserved[0]?.at ?? (this.queue.size > 0 && !this.#isAsking ? this.#askAgainAt : undefined);
    if (next !== undefined) {
      const waitMs = Math.max(0, next - this.#clock.monotonic() - EARLY_MS);
      this.#cancelTimer = this.#clock.after(waitMs, () => this.#serve());
    } else this.#onIdle();
  }

  #useDueSlots(): void {
    for (;;) {
      const now = this.#clock.monotonic();
      const [slot] = this.#reserved;
      if (!slot || slot.at > now + EARLY_MS || this.queue.size === 0) return;
      this.#reserved.shift();
      const lateMs = now - slot.at;
      if (lateMs > TOO_LATE_MS) continue;
      if (lateMs > IN_TIME_MS) this.#ledger.amend(slot, now, this.#scopes);
      this.queue.shift()?.grant({
        refused: () => this.#ledger.refused(slot, this.#scopes),
        accepted: () => {
          this.#hasAccepted = true;
        },
      });
    }
  }

  #giveBackFrom(count: number): void {
    const surplus = this.#reserved.splice(count);
    if (surplus.length > 0) this.#ledger.giveBack(surplus, this.#scopes);
  }

  #reserveMore(): void {
    const target = Math.max(1, Math.round(AHEAD * this.#share));
    const wanted = Math.min(this.queue.size, target) - this.#reserved.length;
    // Half of what may be held at a time: one command then brings several slots.
    if (wanted <= 0 || this.#isAsking || this.#reserved.length > target / 2) return;
    if (this.#clock.monotonic() + EARLY_MS < this.#askAgainAt) return;
    this.#isAsking = true;
    const ask = { count: wanted, scopes: this.#scopes, activeClients: this.queue.clients, accepted: this.#hasAccepted };
    this.#hasAccepted = false;
    void this.#ledger.reserve(ask).then(({ slots, askAgainAt, share, paceMs }) => {
      this.#isAsking = false;
      this.#share = share;
      this.#paceMs = paceMs;
      this.#askAgainAt = askAgainAt ?? 0;
      this.#reserved = [...this.#reserved, ...slots].toSorted((a, b) => a.at - b.at);
      if (this.#isClosed) this.#giveBackFrom(0);
      else this.#serve();
    });
  }
}
