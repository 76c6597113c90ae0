import type { Clock } from '../clock.ts';
import type { SlotCounts } from './tally.ts';
import { type Ask, type Ledger, type Outlook, type Scopes, type Slot } from './ledger.ts';

/** From here on a slot is too late to be used, in ms. */
const TOO_LATE_MS = 400;
/** A slot may be used this much early, in ms: timers are never early, but often late. */
export const EARLY_MS = 0.5;

/** What is reserved, in order of time, what is known of the next, and when more may be asked for (ms, monotonic). */
export type TrackState = { reserved: readonly Slot[]; outlook: Outlook; askAgainAt: number };

/** What a track needs; `weight` tells what the clients weigh that wait on this replica now, `counts` is kept for the curious. */
export type TrackDeps = { ledger: Ledger; clock: Clock; weight: () => number; counts: SlotCounts };

/** How long one that comes behind so many others will wait for a slot, where these are reserved and this is the outlook. */
export function waitBehind(
  ahead: number,
  { reserved, outlook, askAgainAt, now }: TrackState & { now: number },
): number {
  const slot = reserved[ahead];
  if (slot) return Math.max(0, slot.at - now);
  const { share, paceMs, room, refillAt } = outlook;
  const last = Math.max(now, reserved.at(-1)?.at ?? 0, askAgainAt);
  const beyond = ahead - reserved.length - room * share;
  // Those that are to be had at once come before the pace begins.
  if (room > 0 && beyond < 0) return last - now;
  return Math.max(last, refillAt) - now + Math.max(0, beyond) * (paceMs / share);
}

/** The slots reserved for requests that count for the same scopes, in order of time, and what is known of the next. */
export class Track {
  readonly scopes: Scopes;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #weightNow: () => number;
  readonly #counts: SlotCounts;
  #reserved: Slot[] = [];
  #asked = 0;
  #askAgainAt = 0;
  #isHeldUp = false;
  /** What the clients here weighed when the last grant was asked for. */
  #weight = 0;
  #outlook: Outlook;

  constructor(scopes: Scopes, { ledger, clock, weight, counts }: TrackDeps) {
    this.scopes = scopes;
    this.#ledger = ledger;
    this.#clock = clock;
    this.#weightNow = weight;
    this.#counts = counts;
    this.#outlook = ledger.outlook(scopes);
  }

  get reserved(): readonly Slot[] {
    return this.#reserved;
  }

  /**
   * What is to be expected. The share is that of the clients who waited when it was asked for; of those who have come
   * since, the others know nothing yet, but they weigh as much.
   */
  get outlook(): Outlook {
    const { share } = this.#outlook;
    const weight = this.#weightNow();
    if (this.#weight === 0 || weight <= this.#weight) return this.#outlook;
    const others = this.#weight * (1 / share - 1);
    return { ...this.#outlook, share: weight / (weight + others) };
  }

  /** When more may be asked for, in ms of the monotonic clock. */
  get askAgainAt(): number {
    return this.#askAgainAt;
  }

  get isAsking(): boolean {
    return this.#asked > 0;
  }

  /** What is reserved and what has been asked for. */
  get held(): number {
    return this.#reserved.length + this.#asked;
  }

  /** What a wait is reckoned from. */
  get state(): TrackState {
    return { reserved: this.#reserved, outlook: this.outlook, askAgainAt: this.#askAgainAt };
  }

  /** Nothing is held here, and nothing is to come. */
  get isIdle(): boolean {
    return this.held === 0;
  }

  /** More would be of no use now: what is held here waits for an allowance of its own, or more may not be asked for yet. */
  isFull(now: number): boolean {
    return (this.#isHeldUp && this.#reserved.length > 0) || now < this.#askAgainAt;
  }

  /** Takes the first slot that is due; those that nobody could use in time are dropped. */
  takeDue(): Slot | undefined {
    for (;;) {
      const now = this.#clock.monotonic();
      const [slot] = this.#reserved;
      if (!slot || slot.at > now + EARLY_MS) return undefined;
      this.#reserved.shift();
      if (now - slot.at <= TOO_LATE_MS) return slot;
      this.#counts.expired += 1;
    }
  }

  /** Gives back all but the first so many. */
  keep(count: number): void {
    const surplus = this.#reserved.splice(count);
    if (surplus.length === 0) return;
    this.#counts.returned += surplus.length;
    this.#ledger.giveBack(surplus, this.scopes);
  }

  /** An attempt on this slot was accepted: it may have been a probe, then there is no more need to wait for the next. */
  askAtOnce(): boolean {
    if (this.#askAgainAt <= this.#clock.monotonic()) return false;
    this.#askAgainAt = 0;
    return true;
  }

  /** Asks for more, and holds what comes. */
  async ask(ask: Omit<Ask, 'scopes'>): Promise<void> {
    this.#asked = ask.count;
    const weight = this.#weightNow();
    const { slots, askAgainAt, isHeldUp, ...outlook } = await this.#ledger.reserve({ ...ask, scopes: this.scopes });
    this.#asked = 0;
    this.#outlook = outlook;
    this.#weight = weight;
    this.#askAgainAt = askAgainAt ?? 0;
    this.#isHeldUp = isHeldUp;
    this.#reserved = [...this.#reserved, ...slots].toSorted((a, b) => a.at - b.at);
  }
}
