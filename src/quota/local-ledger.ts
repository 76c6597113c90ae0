import type { Clock } from '../clock.ts';
import { type Caution, CAUTION, learnAcceptance, learnRefusal, noCaution } from './caution.ts';
import {
  type Allowances,
  type Ask,
  CATCH_UP,
  type Grant,
  type Ledger,
  type Outlook,
  type Pacing,
  type ScopeName,
  type Scopes,
  type Slot,
} from './ledger.ts';
import { earliestSlot, isHeldUp, isSaturated, type Scope } from './rule.ts';

/**
 * What the account of one process needs: the allowances, how slots follow each other, when the first may be, and
 * which part of the allowance of all this is, where others are known to be there.
 */
export type LocalLedgerOptions = { allowances: Allowances; pacing: Pacing; holdMs?: number; share?: number };

/** Past slots are kept for so many windows: a refusal that comes late is still told from the others of its window. */
const PAST_WINDOWS = 10;
const SWEEP_MS = 1000;

/** Opens an account of slots in this process, by the same rule that the Lua scripts follow for many. */
export const createLocalLedger = (options: LocalLedgerOptions, clock: Clock): Ledger => new LocalLedger(options, clock);

class LocalLedger implements Ledger {
  readonly #options: LocalLedgerOptions;
  readonly #clock: Clock;
  /** Per scope, its slots in order of time; only scopes that have any are kept. */
  readonly #scopes = new Map<ScopeName, Slot[]>();
  readonly #caution: Caution = noCaution();
  readonly #openAt: number;
  #made = 0;
  #sweepAt = 0;

  constructor(options: LocalLedgerOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#openAt = clock.monotonic() + (options.holdMs ?? 0);
  }

  outlook(scopes: Scopes): Outlook {
    const now = this.#clock.monotonic();
    const { share = 1, allowances } = this.#options;
    const rules = scopes.map((name) => ({ name, ...allowances(name) }));
    const times = rules.map(({ name, windowMs }) => this.#timesAfter(name, now - windowMs));
    const left = rules.map(({ slots }, i) => slots - (times[i]?.length ?? 0));
    const refills = rules.map(({ windowMs }, i) => (times[i]?.[0] ?? now) + windowMs);
    const isEven = this.#isEven(now) || now < this.#caution.pausedUntil;
    return {
      share,
      // The others are reckoned with by the share: what is told is the pace of all together.
      paceMs: share * Math.max(...rules.map(({ slots, windowMs }) => windowMs / slots)),
      room: isEven ? 0 : Math.max(0, Math.min(...left)),
      refillAt: isEven ? now : Math.max(...refills),
    };
  }

  get replicas(): number {
    return 1;
  }

  reserve({ count, scopes, accepted }: Ask): Promise<Grant> {
    const now = this.#clock.monotonic();
    this.#forgetPast(scopes, now);
    if (accepted) learnAcceptance(this.#caution, now);
    const probeAt = this.#caution.isProbing ? this.#slotsOf(scopes[0]).at(-1)?.at : undefined;
    if (now < this.#caution.pausedUntil) return this.#grant([], this.#caution.pausedUntil, scopes);
    if (probeAt !== undefined && probeAt > now) return this.#grant([], probeAt, scopes);
    const from = Math.max(now, this.#openAt);
    const length = this.#caution.isProbing ? Math.min(count, 1) : count;
    const slots = Array.from({ length }, () => this.#reserveOne(scopes, from, now));
    const rules = scopes.map((name) => this.#ruleOf(name, from, now));
    const heldUp = isHeldUp(rules, from, Math.max(...slots.map(({ at }) => at)));
    return this.#grant(slots, this.#caution.isProbing ? slots[0]?.at : undefined, scopes, heldUp);
  }

  giveBack(slots: readonly Slot[], scopes: Scopes): void {
    for (const { id } of slots) for (const name of scopes) this.#take(name, id);
  }

  amend({ id }: Slot, usedAt: number, scopes: Scopes): void {
    for (const name of scopes) if (this.#take(name, id)) this.#insert(name, { id, at: usedAt });
  }

  refused({ id }: Slot, scopes: Scopes): void {
    const { slots, windowMs } = this.#options.allowances(scopes[0]);
    const list = this.#slotsOf(scopes[0]);
    const at = list.find((each) => each.id === id)?.at;
    // Its place among the slots of its window, by time and then by order of reservation; unknown once it is forgotten.
    const isBefore = (one: Slot, end: number) =>
      one.at > end - windowMs && (one.at < end || (one.at === end && one.id <= id));
    const rank = at === undefined ? undefined : list.filter((one) => isBefore(one, at)).length;
    learnRefusal(this.#caution, this.#clock.monotonic(), rank, slots);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #grant(slots: Slot[], askAgainAt: number | undefined, scopes: Scopes, heldUp = false): Promise<Grant> {
    const inOrder = slots.toSorted((a, b) => a.at - b.at);
    return Promise.resolve({ slots: inOrder, askAgainAt, isHeldUp: heldUp, ...this.outlook(scopes) });
  }

  #reserveOne(scopes: Scopes, from: number, now: number): Slot {
    const at = earliestSlot(
      scopes.map((name) => this.#ruleOf(name, from, now)),
      from,
    );
    this.#made += 1;
    const slot = { id: String(this.#made).padStart(12, '0'), at };
    for (const name of scopes) this.#insert(name, slot);
    return slot;
  }

  #ruleOf(name: ScopeName, from: number, now: number): Scope {
    const { slots, windowMs } = this.#options.allowances(name);
    const scope = { times: this.#timesAfter(name, now - windowMs), slots, windowMs };
    return { ...scope, gapMs: this.#gapMs(windowMs / slots, isSaturated(scope, from), now) };
  }

  #gapMs(evenMs: number, saturated: boolean, now: number): number {
    if (this.#caution.isProbing) return Math.max(CAUTION.probeMs, evenMs);
    if (this.#isEven(now)) return evenMs;
    return this.#options.pacing === 'auto' && saturated ? evenMs * CATCH_UP : 0;
  }

  #isEven(now: number): boolean {
    return this.#options.pacing === 'smooth' || this.#caution.isProbing || now < this.#caution.smoothUntil;
  }

  #slotsOf(name: ScopeName): Slot[] {
    return this.#scopes.get(name) ?? [];
  }

  #timesAfter(name: ScopeName, after: number): number[] {
    const list = this.#slotsOf(name);
    return list.slice(list.findLastIndex(({ at }) => at <= after) + 1).map(({ at }) => at);
  }

  /** In these scopes, and once a second in all: clients name the apps, and what they name must not stay. */
  #forgetPast(scopes: Scopes, now: number): void {
    const isTime = now >= this.#sweepAt;
    if (isTime) this.#sweepAt = now + SWEEP_MS;
    for (const name of isTime ? this.#scopes.keys() : scopes) {
      const list = this.#slotsOf(name);
      const oldest = now - PAST_WINDOWS * this.#options.allowances(name).windowMs;
      const past = list.findLastIndex(({ at }) => at <= oldest) + 1;
      if (past === list.length) this.#scopes.delete(name);
      else list.splice(0, past);
    }
  }

  /** Behind those of the same time: among equals, the order is that of reservation. */
  #insert(name: ScopeName, slot: Slot): void {
    const list = this.#slotsOf(name);
    list.splice(list.findLastIndex(({ at }) => at <= slot.at) + 1, 0, slot);
    this.#scopes.set(name, list);
  }

  #take(name: ScopeName, id: string): boolean {
    const list = this.#slotsOf(name);
    const index = list.findIndex((each) => each.id === id);
    if (index !== -1) list.splice(index, 1);
    return index !== -1;
  }
}
