import type { ErrorCode } from '../errors.ts';
import type { ScopeName } from './ledger.ts';
import type { Kind, Waiter } from './waiter.ts';

/** Why somebody got no slot. */
export type WhyNot = 'deadline' | 'full' | 'client_cap' | 'bytes' | 'draining' | 'disconnected';

/** What became of the slots that were reserved here: used for an attempt, given back, or gone by. */
export type SlotCounts = { granted: number; returned: number; expired: number };

/** Who waits of one kind, and how long the first of them has waited. */
export type Waiting = { requests: number; bytes: number; oldestMs: number };

/** What the quota tells of itself. */
export type QuotaStats = {
  slots: Readonly<SlotCounts>;
  refused: Readonly<Record<WhyNot, number>>;
  waiting: ReadonlyMap<Kind, Waiting>;
  replicas: number;
  /** This replica goes on with a share of its own. */
  isAway: boolean;
  /** Slots used here within the last so many ms, by the scope of the egress. */
  usedWithin: (windowMs: number) => ReadonlyMap<ScopeName, number>;
};

/** What the quota keeps count of, for whoever wants to look. */
export class Tally {
  readonly slots: SlotCounts = { granted: 0, returned: 0, expired: 0 };
  readonly refused: Record<WhyNot, number> = {
    deadline: 0,
    full: 0,
    client_cap: 0,
    bytes: 0,
    draining: 0,
    disconnected: 0,
  };
  /** The times of the slots that were used lately, by scope. */
  readonly #used = new Map<ScopeName, number[]>();

  /** A slot was given to an attempt. */
  grant(scope: ScopeName, now: number): void {
    this.slots.granted += 1;
    const times = this.#used.get(scope) ?? [];
    if (times.length >= MAX_TIMES) times.shift();
    times.push(now);
    this.#used.set(scope, times);
  }

  /** One that waited was turned away, or left. */
  turnedAway(code: ErrorCode): void {
    this.refused[code === 'CLIENT_GONE' ? 'disconnected' : code === 'DRAINING' ? 'draining' : 'deadline'] += 1;
  }

  usedWithin(windowMs: number, now: number): Map<ScopeName, number> {
    return new Map(
      this.#used
        .entries()
        .map(([scope, times]) => [scope, times.length - 1 - times.findLastIndex((at) => at <= now - windowMs)]),
    );
  }
}

/** As many as any allowance has; what is older than these is of no window. */
const MAX_TIMES = 10_000;

/** Sums up who waits, by kind. */
export function sumUp(waiters: Iterable<Waiter>, now: number): Map<Kind, Waiting> {
  const sums = new Map<Kind, Waiting>();
  for (const { kind, bytes, until, maxWaitMs } of waiters) {
    const sum = sums.get(kind) ?? { requests: 0, bytes: 0, oldestMs: 0 };
    sums.set(kind, {
      requests: sum.requests + 1,
      bytes: sum.bytes + bytes,
      oldestMs: Math.max(sum.oldestMs, now - (until - maxWaitMs)),
    });
  }
  return sums;
}
