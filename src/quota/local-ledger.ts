import type { Clock } from '../clock.ts';
import { type Caution, CAUTION, learnAcceptance, learnRefusal, noCaution } from './caution.ts';
import {
  type Allowances,
  type Ask,
  CATCH_UP,
  type Grant,
  type Ledger,
  type Pacing,
  type ScopeName,
  type Scopes,
  type Slot,
} from './ledger.ts';
import { earliestSlot, isSaturated, type Scope } from './rule.ts';

/**
 * What the account of one process needs: the allowances, how slots follow each other, when the first may be, and
 * this process's part of all clients that wait, where others are known to be there.
 */
export type LocalLedgerOptions = { allowances: Allowances; pacing: Pacing; holdMs?: number; share?: number };

/** Opens an account of slots in this process, by the same rule that the Lua scripts follow for many. */
export const createLocalLedger = (options: LocalLedgerOptions, clock: Clock): Ledger => new LocalLedger(options, clock);

class LocalLedger implements Ledger {
  readonly #options: LocalLedgerOptions;
  readonly #clock: Clock;
  /** Per scope, its slots in order of time, past ones for as long as they are in a window. */
  readonly #scopes = new Map<ScopeName, Slot[]>();
  readonly #caution: Caution = noCaution();
  readonly #openAt: number;
  #made = 0;

  constructor(options: LocalLedgerOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#openAt = clock.monotonic() + (options.holdMs ?? 0);
  }

  reserve({ count, scopes, accepted }: Ask): Promise<Grant> {
    const now = this.#clock.monotonic();
    if (accepted) learnAcceptance(this.#caution, now);
    const { slots: perWindow, windowMs } = this.#options.allowances(scopes[0]);
    const around = { share: this.#options.share ?? 1, paceMs: windowMs / perWindow };
    if (now < this.#caution.pausedUntil) {
      return Promise.resolve({ slots: [], askAgainAt: this.#caution.pausedUntil, ...around });
    }
    for (const name of scopes) this.#forgetBefore(name, now);
    const from = Math.max(now, this.#openAt);
    const slots = Array.from({ length: count }, () => this.#reserveOne(scopes, from, now));
    return Promise.resolve({ slots: slots.toSorted((a, b) => a.at - b.at), askAgainAt: undefined, ...around });
  }

  giveBack(slots: readonly Slot[], scopes: Scopes): void {
    for (const { id } of slots) for (const name of scopes) this.#take(name, id);
  }

  amend({ id }: Slot, usedAt: number, scopes: Scopes): void {
    for (const name of scopes) if (this.#take(name, id)) this.#insert(name, { id, at: usedAt });
  }

  refused({ id, at }: Slot, scopes: Scopes): void {
    const { slots, windowMs } = this.#options.allowances(scopes[0]);
    const list = this.#slotsOf(scopes[0]);
    const place = list.findIndex((each) => each.id === id);
    const rank = list.slice(0, place + 1).filter((each) => each.at > at - windowMs).length;
    learnRefusal(this.#caution, this.#clock.monotonic(), rank, slots);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #reserveOne(scopes: Scopes, from: number, now: number): Slot {
    const at = earliestSlot(
      scopes.map((name) => this.#ruleOf(name, from, now)),
      from,
    );
    this.#made += 1;
    const slot = { id: `local-${this.#made}`, at };
    for (const name of scopes) this.#insert(name, slot);
    return slot;
  }

  #ruleOf(name: ScopeName, from: number, now: number): Scope {
    const scope = { times: this.#slotsOf(name).map(({ at }) => at), ...this.#options.allowances(name) };
    return { ...scope, gapMs: this.#gapMs(scope.windowMs / scope.slots, isSaturated(scope, from), now) };
  }

  #gapMs(evenMs: number, saturated: boolean, now: number): number {
    const { pacing } = this.#options;
    if (this.#caution.isProbing) return Math.max(CAUTION.probeMs, evenMs);
    if (pacing === 'smooth' || now < this.#caution.smoothUntil) return evenMs;
    return pacing === 'auto' && saturated ? evenMs * CATCH_UP : 0;
  }

  #slotsOf(name: ScopeName): Slot[] {
    return this.#scopes.get(name) ?? [];
  }

  #forgetBefore(name: ScopeName, now: number): void {
    const { windowMs } = this.#options.allowances(name);
    this.#scopes.set(
      name,
      this.#slotsOf(name).filter(({ at }) => at > now - 2 * windowMs),
    );
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
