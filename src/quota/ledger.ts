/** Who keeps account of slots: one process for itself, or Redis for all replicas of an egress. */

/** Leave to make one upstream attempt at `at`, in ms of this process's monotonic clock. */
export type Slot = { id: string; at: number };

/** Clients that wait on one replica: with credentials that the upstream has accepted lately, and with others. */
export type Clients = { proven: number; unproven: number };

/** What is asked for: how many slots, for which scopes, which clients wait on this replica, and whether the upstream accepts. */
export type Ask = { count: number; scopes: Scopes; clients: Clients; accepted: boolean };

/** The name of an allowance: `egress`, `egress:upload`…, or `app:org/app`. */
export type ScopeName = string;

/** The allowances that a slot counts for; the first is that of the egress, and sets the pace. */
export type Scopes = readonly [ScopeName, ...ScopeName[]];

/** How soon slots are to be had. */
export type Outlook = {
  /** This replica's part of all clients that wait, above 0 and up to 1. */
  share: number;
  /** The mean time between slots of all replicas together, in ms. */
  paceMs: number;
  /** Slots that are to be had at once, before that pace begins. */
  room: number;
  /** When the next comes once those are used: ms of the monotonic clock. */
  refillAt: number;
  /** It is so while something is out of order, and may soon be better: no reason to refuse whoever was let in before. */
  isPassing?: boolean;
};

/** What an ask brings: slots in order of time, and what to know of the others. */
export type Grant = Outlook & {
  slots: Slot[];
  /** Where there are fewer than asked for: when to ask again, in ms of the monotonic clock. */
  askAgainAt: number | undefined;
  /** Another of the scopes than the first puts the last of them off: for that alone, it would have come sooner. */
  isHeldUp: boolean;
};

/** An account of slots; all its promises resolve, whatever happens behind them. */
export type Ledger = AsyncDisposable & {
  reserve(ask: Ask): Promise<Grant>;
  /** Replicas that share the account, as far as known; this one included. */
  readonly replicas: number;
  /** Whether what others use is unknown at the moment, and this replica goes on with a share of its own. */
  readonly isAway?: boolean;
  /** What may be expected before the first ask for these scopes. */
  outlook(scopes: Scopes): Outlook;
  /** Gives slots back that nobody needs, for others to use. */
  giveBack(slots: readonly Slot[], scopes: Scopes): void;
  /** Tells when a slot was really used, where that was noticeably later than its time. */
  amend(slot: Slot, usedAt: number, scopes: Scopes): void;
  /** Tells that the upstream refused, for its rate, an attempt made on this slot. */
  refused(slot: Slot, scopes: Scopes): void;
};

/** An allowance: `slots` in any window; the window is the upstream's, widened by the margin for jitter. */
export type Allowance = { slots: number; windowMs: number };

/** How slots follow each other: in bursts when the allowance is free (`auto`, then paced), always evenly, or never paced. */
export type Pacing = 'auto' | 'smooth' | 'burst';

/** How the allowance of a scope is looked up by its name. */
export type Allowances = (scope: ScopeName) => Allowance;

/** While the allowance is used up, slots come a little faster than the mean: a late one does not push all others back. */
export const CATCH_UP = 0.9;

/** Slots that all replicas together hold reserved: under half a second of thirty a second. */
export const AHEAD = 12;
