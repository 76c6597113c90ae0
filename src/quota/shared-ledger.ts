/**
 * The shared account, and this replica's own share of the allowance while Redis is away.
 *
 * 1. Each answer of Redis tells how many replicas there are. When it fails, by error or by time, this replica goes on
 *    by itself with its part of the allowance, evenly, and a little less: the others do the same.
 * 2. It waits one window before its first own slot: what the others had reserved is still being used.
 * 3. It probes with calls that reserve nothing. Once one is answered in time, it comes back: if it was away for longer
 *    than that window, it asks for a hold, during which all others come back too and their own slots pass; only then does the shared
 *    account go on. So nothing is counted twice, in no direction. (A replica that alone cannot reach Redis comes back
 *    only after an answer in time: its vain tries must not hold up those who can.)
 * 4. Its own slots lie only a moment ahead: none is left over when it comes back.
 * An idle replica sends a heartbeat, so that the others know of it.
 */
import type { Clock } from '../clock.ts';
import type { Allowances, Ask, Clients, Grant, Ledger, Outlook, ScopeName, Scopes, Slot } from './ledger.ts';
import { createLocalLedger } from './local-ledger.ts';
import type { Members, RedisLedger } from './redis-ledger.ts';

/** The allowances, how many replicas to reckon with before Redis was ever there, and whom to tell about its going and coming. */
export type SharedLedgerOptions = {
  allowances: Allowances;
  egressScope: ScopeName;
  replicas: number;
  onAway?: (reason: Error) => void;
  onBack?: (awayMs: number) => void;
};

/** Of its part of the allowance a replica uses this much by itself: the others may be more than it knows. */
const CAREFUL = 0.8;
/** Between two probes, in ms. */
const PROBE_MS = 200;
/** An idle replica is heard of this often, in ms. */
const HEARTBEAT_MS = 1000;
/** An own slot may lie so far ahead, in ms; the next is asked for when it comes so near. */
const OWN_AHEAD_MS = 50;

const NOBODY: Clients = { proven: 0, unproven: 0 };

/** A shared account that can be told that the connection was lost, rather than find out by waiting. */
export type SharedLedger = Ledger & { lost(reason: Error): void; readonly isAway: boolean };

/** Opens the shared account with its fallback; the connection behind it stays the caller's to close. */
export function createSharedLedger(options: SharedLedgerOptions, remote: RedisLedger, clock: Clock): SharedLedger {
  return new FailoverLedger(options, remote, clock);
}

class FailoverLedger implements SharedLedger {
  readonly #options: SharedLedgerOptions;
  readonly #remote: RedisLedger;
  readonly #clock: Clock;
  /** The account of this replica alone; there while Redis is away. */
  #own: Ledger | undefined;
  /** Slots of an own account are none of Redis's business, also when they are used or given back after its return. */
  readonly #ownSlots = new WeakMap<Slot, Ledger>();
  #members: number;
  #awaySince = 0;
  /** How much slower than configured here the shared account goes, since another replica believes in a lower rate. */
  #slowdown = 1;
  /** When the first slot of an own account may be used, here and by all others that went away too. */
  #ownFrom = 0;
  /** Clients that wait here, for heartbeats; they are there for as long as there are slots to come for them. */
  #active: { clients: Clients; share: number; until: number } = { clients: NOBODY, share: 1, until: 0 };
  #isClosed = false;
  #cancelTimer: () => void = () => {};

  constructor(options: SharedLedgerOptions, remote: RedisLedger, clock: Clock) {
    this.#options = options;
    this.#remote = remote;
    this.#clock = clock;
    this.#members = options.replicas;
    this.#beatAfter(0);
  }

  get replicas(): number {
    return this.#members;
  }

  get isAway(): boolean {
    return this.#own !== undefined;
  }

  async reserve(ask: Ask): Promise<Grant> {
    if (this.#own) return this.#reserveOwn(this.#own, ask);
    try {
      const grant = await this.#remote.reserve(ask);
      this.#members = Math.max(1, grant.members);
      this.#learnPace(grant.paceMs, ask.scopes);
      const until = grant.slots.at(-1)?.at ?? grant.askAgainAt ?? 0;
      this.#active = { clients: ask.clients, share: grant.share, until };
      // One that was under way when another failed must not put off the probe.
      if (!this.isAway) this.#beatAfter(HEARTBEAT_MS);
      return grant;
    } catch (error) {
      return this.#reserveOwn(this.#goAlone(error), ask);
    }
  }

  outlook(scopes: Scopes): Outlook {
    if (this.#own) return this.#own.outlook(scopes);
    const rules = scopes.map((scope) => this.#options.allowances(scope));
    return {
      // What was so when somebody last waited here says nothing of now.
      share: this.#clock.monotonic() < this.#active.until ? this.#active.share : 1,
      paceMs: Math.max(...rules.map(({ slots, windowMs }) => windowMs / slots)),
      room: Math.min(...rules.map(({ slots }) => slots)),
      refillAt: this.#clock.monotonic() + Math.max(...rules.map(({ windowMs }) => windowMs)),
    };
  }

  giveBack(slots: readonly Slot[], scopes: Scopes): void {
    const theirs = slots.filter((slot) => {
      const own = this.#ownSlots.get(slot);
      own?.giveBack([slot], scopes);
      return own === undefined;
    });
    if (theirs.length > 0) this.#tell(this.#remote.giveBack(theirs, scopes));
  }

  amend(slot: Slot, usedAt: number, scopes: Scopes): void {
    const own = this.#ownSlots.get(slot);
    if (own) own.amend(slot, usedAt, scopes);
    else this.#tell(this.#remote.amend(slot, usedAt, scopes));
  }

  refused(slot: Slot, scopes: Scopes): void {
    const own = this.#ownSlots.get(slot);
    if (own) own.refused(slot, scopes);
    else this.#tell(this.#remote.refused(slot, scopes));
  }

  lost(reason: Error): void {
    if (!this.#own && !this.#isClosed) this.#goAlone(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelTimer();
    // What is not told is found out: a replica that is not heard of is soon no member any more.
    if (!this.isAway) await this.#remote.leave().catch(() => {});
  }

  async #reserveOwn(own: Ledger, ask: Ask): Promise<Grant> {
    const grant = await own.reserve(ask);
    const near = this.#clock.monotonic() + OWN_AHEAD_MS;
    const slots = grant.slots.filter(({ at }) => at <= near);
    const later = grant.slots.slice(slots.length);
    own.giveBack(later, ask.scopes);
    for (const slot of slots) this.#ownSlots.set(slot, own);
    const [next] = later;
    return { ...grant, slots, isPassing: true, askAgainAt: next ? next.at - OWN_AHEAD_MS : grant.askAgainAt };
  }

  #goAlone(error: unknown): Ledger {
    // Several calls may fail for the same reason: the first has opened the account.
    if (this.#own) return this.#own;
    const part = (this.#members / CAREFUL) * this.#slowdown;
    const allowances: Allowances = (scope) => {
      const { slots, windowMs } = this.#options.allowances(scope);
      return { slots, windowMs: windowMs * part };
    };
    // Others may hold slots that lie as far ahead as the last one that was granted here.
    const { windowMs } = this.#options.allowances(this.#options.egressScope);
    const holdMs = Math.max(windowMs, this.#active.until - this.#clock.monotonic());
    this.#ownFrom = this.#clock.monotonic() + holdMs;
    this.#own = createLocalLedger({ allowances, pacing: 'smooth', holdMs, share: 1 / this.#members }, this.#clock);
    this.#awaySince = this.#clock.monotonic();
    this.#options.onAway?.(error instanceof Error ? error : new Error(String(error)));
    this.#beatAfter(PROBE_MS);
    return this.#own;
  }

  #learnPace(paceMs: number, scopes: Scopes): void {
    const evens = scopes.map((scope) => this.#options.allowances(scope)).map(({ slots, windowMs }) => windowMs / slots);
    this.#slowdown = Math.max(1, paceMs / Math.max(...evens));
  }

  /** Calls without asking for a slot: a heartbeat while Redis is there, a probe while it is away. */
  #beatAfter(delayMs: number): void {
    this.#cancelTimer();
    if (this.#isClosed) return;
    this.#cancelTimer = this.#clock.after(delayMs, () => void this.#beat());
  }

  async #beat(): Promise<void> {
    const own = this.#own;
    try {
      let answer = await this.#call(false);
      if (own && this.#clock.monotonic() > this.#ownFrom) answer = await this.#call(true);
      this.#members = Math.max(1, answer.members);
      this.#learnPace(answer.paceMs, [this.#options.egressScope]);
      if (own && this.#own === own && !this.#isClosed) {
        this.#own = undefined;
        this.#options.onBack?.(this.#clock.monotonic() - this.#awaySince);
      }
    } catch (error) {
      if (!this.#isClosed) this.#goAlone(error);
    }
    this.#beatAfter(this.isAway ? PROBE_MS : HEARTBEAT_MS);
  }

  #call(comesBack: boolean): Promise<Grant & Members> {
    const clients = this.#clock.monotonic() < this.#active.until ? this.#active.clients : NOBODY;
    const ask = { count: 0, scopes: [this.#options.egressScope], clients, accepted: false } satisfies Ask;
    return this.#remote.reserve(ask, comesBack);
  }

  /** What is only told may be lost: a slot too many then stays reserved, and passes unused. */
  #tell(telling: Promise<void>): void {
    telling.catch((error: unknown) => {
      if (!this.#isClosed) this.#goAlone(error);
    });
  }
}
