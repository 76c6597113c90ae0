import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { createFairQueue, type FairQueue, type FairQueueConfig, type Place } from './fair-queue.ts';
import { AHEAD, type Ledger, type Outlook, type Scopes, type Slot } from './ledger.ts';

/** What a request is for; each kind may have an allowance of its own. */
export type Kind = 'upload' | 'download' | 'thumbnail';

/** A request for leave to make an attempt; `isRetry`: it had a slot and was refused, so it stands first. */
export type SlotRequest = Place & {
  kind: Kind;
  bytes: number;
  maxWaitMs: number;
  isRetry: boolean;
  signal: AbortSignal;
};

/**
 * A slot in use: `departed` tells that the attempt's head goes out now, `refused` that the upstream refused it for its
 * rate, `accepted` that it did not.
 */
export type SlotInUse = { departed(): void; refused(): void; accepted(): void };

/** How fair the queue of a line is. */
export type LineOptions = FairQueueConfig;

/** What all lines of this replica have in common: what the clients that wait weigh, in one line and in all, and news for the account. */
export type Here = {
  readonly weight: number;
  weightOf(queue: Pick<FairQueue<Place>, 'clients' | 'provenClients'>): number;
  hasAccepted: boolean;
};

/** What a line needs; `onIdle` is called whenever nobody waits in it any more, `onLate` when an attempt went late. */
export type LineDeps = {
  scopes: Scopes;
  fairness: LineOptions;
  ledger: Ledger;
  clock: Clock;
  here: Here;
  onIdle: () => void;
  onLate: () => void;
};

/** Up to here an attempt counts as gone in time, in ms; the margin covers it. Telling the account costs a command. */
const IN_TIME_MS = 20;
/** From here on a slot is too late to be used. */
const TOO_LATE_MS = 400;
/** A slot may be used this much early, in ms: timers are never early, but often late. */
const EARLY_MS = 0.5;
/** Waking up is meant for a little later than is needed, or fractions of a ms would let it be in vain. */
const WAKE_MS = EARLY_MS / 2;

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
  readonly #here: Here;
  readonly #onIdle: () => void;
  readonly #onLate: () => void;
  /** Reserved and not yet due, in order of time. */
  #reserved: Slot[] = [];
  #isAsking = false;
  #isClosed = false;
  #outlook: Outlook;
  #askAgainAt = 0;
  #cancelTimer: () => void = () => {};

  constructor({ scopes, fairness, ledger, clock, here, onIdle, onLate }: LineDeps) {
    this.queue = createFairQueue(fairness);
    this.#scopes = scopes;
    this.#ledger = ledger;
    this.#clock = clock;
    this.#here = here;
    this.#onIdle = onIdle;
    this.#onLate = onLate;
    this.#outlook = ledger.outlook(scopes);
  }

  /** Tells that nobody waits here, if so. */
  rest(): void {
    if (this.queue.size === 0 && this.#reserved.length === 0 && !this.#isAsking) this.#onIdle();
  }

  /** This line's part of all slots: that of its clients among all that wait, here and elsewhere. */
  get #part(): number {
    const all = this.#here.weight;
    const own = this.#here.weightOf(this.queue);
    return all === 0 || own === 0 ? this.#outlook.share : (this.#outlook.share * own) / all;
  }

  /**
   * How long one that comes now will wait: for the slots that are reserved, then for those that are free at once, and
   * then at this line's pace, while the clients of all other lines of this replica take their turns too.
   */
  expectedWaitMs(place: Place): number {
    const now = this.#clock.monotonic();
    const ahead = this.queue.ahead(place);
    const slot = this.#reserved[ahead];
    if (slot) return Math.max(0, slot.at - now);
    const { share, paceMs, room, refillAt } = this.#outlook;
    const part = this.#part;
    const last = Math.max(now, this.#reserved.at(-1)?.at ?? 0, this.#askAgainAt);
    const beyond = ahead - this.#reserved.length + (1 - part / share) - room * part;
    if (room > 0 && beyond < 0) return last - now;
    return Math.max(last, refillAt) - now + Math.max(0, beyond) * (paceMs / part);
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
      giveUp(queueFull(this.expectedWaitMs(request) - request.maxWaitMs, `waited for ${request.maxWaitMs} ms`)),
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
    const [slot] = this.#reserved;
    const asksLater = this.queue.size > 0 && !this.#isAsking;
    const next = slot ? slot.at - WAKE_MS : asksLater ? this.#askAgainAt + WAKE_MS : undefined;
    if (next !== undefined) {
      const waitMs = Math.max(0, next - this.#clock.monotonic());
      this.#cancelTimer = this.#clock.after(waitMs, () => this.#serve());
    } else this.rest();
  }

  #useDueSlots(): void {
    for (;;) {
      const now = this.#clock.monotonic();
      const [slot] = this.#reserved;
      if (!slot || slot.at > now + EARLY_MS || this.queue.size === 0) return;
      this.#reserved.shift();
      if (now - slot.at > TOO_LATE_MS) continue;
      this.queue.shift()?.grant({
        departed: () => this.#departed(slot),
        refused: () => this.#ledger.refused(slot, this.#scopes),
        accepted: () => {
          this.#here.hasAccepted = true;
          // It may have been a probe: then there is no more need to wait for the next.
          if (this.#askAgainAt <= this.#clock.monotonic()) return;
          this.#askAgainAt = 0;
          this.#serve();
        },
      });
    }
  }

  /** Gives back what is reserved and asks anew: the account has learnt that something went later than it had counted. */
  reconsider(): void {
    this.#giveBackFrom(0);
    this.#serve();
  }

  /** A busy process, or a new connection, may let an attempt go well after its slot: the account is told when it really went. */
  #departed(slot: Slot): void {
    const now = this.#clock.monotonic();
    if (now - slot.at <= IN_TIME_MS || this.#isClosed) return;
    this.#ledger.amend(slot, now, this.#scopes);
    this.#onLate();
  }

  #giveBackFrom(count: number): void {
    const surplus = this.#reserved.splice(count);
    if (surplus.length > 0) this.#ledger.giveBack(surplus, this.#scopes);
  }

  #reserveMore(): void {
    const target = Math.max(1, Math.round(AHEAD * this.#part));
    const wanted = Math.min(this.queue.size, target) - this.#reserved.length;
    // Half of what may be held at a time: one command then brings several slots.
    if (wanted <= 0 || this.#isAsking || this.#reserved.length > target / 2) return;
    if (this.#clock.monotonic() < this.#askAgainAt) return;
    void this.#ask(wanted);
  }

  async #ask(count: number): Promise<void> {
    this.#isAsking = true;
    const { weight, hasAccepted } = this.#here;
    this.#here.hasAccepted = false;
    const ask = { count, scopes: this.#scopes, activeClients: weight, accepted: hasAccepted };
    const { slots, askAgainAt, ...outlook } = await this.#ledger.reserve(ask);
    this.#isAsking = false;
    this.#outlook = outlook;
    this.#askAgainAt = askAgainAt ?? 0;
    this.#reserved = [...this.#reserved, ...slots].toSorted((a, b) => a.at - b.at);
    if (this.#isClosed) this.#giveBackFrom(0);
    else this.#serve();
  }
}
