/**
 * Who next: a line per client, served in turn, inside apps that are served by weight.
 *
 * 1. A waiter stands in its client's line. Clients of an app take turns, one waiter each.
 * 2. Apps take turns by stride (`lane.ts`): having been away earns nothing, and leaving does not undo a turn.
 * 3. Waiters whose credentials the upstream has not yet accepted stand in a lane of their own. While proven ones wait
 *    too, that lane gets at most every so many-th turn, so that made-up tokens cannot eat the allowance.
 * 4. With priorities, a class is served only when no better one waits in the same lane.
 * 5. A slot may be one app's alone: then the next of that app is taken, and the lanes' and apps' accounts are kept as
 *    if it had been its turn.
 */
import { Lane, type Place } from './lane.ts';

export type { Place } from './lane.ts';

/** Who waits, and who is next. */
export type FairQueue<Waiter extends Place> = {
  /** Puts a waiter at the end of its client's line. */
  push(waiter: Waiter): void;
  /** Puts a waiter that had its turn in vain before all that had none yet: it keeps its place across tries. */
  pushFirst(waiter: Waiter): void;
  /** Takes out whoever is next; of one app only, where that is named. */
  shift(app?: string): Waiter | undefined;
  /** The upstream has accepted these credentials: all who wait with them are proven from now on. Tells whether any were. */
  prove(bearer: string): boolean;
  /** Takes out one that left; false when it was not waiting. */
  remove(waiter: Waiter): boolean;
  /** All who wait, in the order in which they would be served from now on. */
  order(): Iterable<Waiter>;
  /** How many of those who wait now will be served before one that would come now: of all, and of its own app. */
  ahead(place: Place): number;
  aheadInApp(place: Place): number;
  /** How many of one client wait. */
  waitingOf(place: Pick<Place, 'client' | 'app'>): number;
  /** How many of one app wait; of all, where none is named. */
  sizeOf(app?: string): number;
  readonly size: number;
  /** Clients that wait now. */
  readonly clients: number;
  /** Those of them whose credentials the upstream has accepted. */
  readonly provenClients: number;
};

/** `unprovenShare` is the part of all turns that unproven waiters may get while proven ones wait; apps weigh 1 unless named. */
export type FairQueueConfig = { unprovenShare: number; weights: Readonly<Record<string, number>> };

/** Turns that the unproven lane may be ahead or behind, where slots are bound to apps. */
const MAX_CREDIT = 2;

/** Makes an empty queue. */
export function createFairQueue<Waiter extends Place>({ unprovenShare, weights }: FairQueueConfig): FairQueue<Waiter> {
  const weightOf = (app: string) => weights[app] ?? 1;
  const proven = new Lane<Waiter>(weightOf);
  const unproven = new Lane<Waiter>(weightOf);
  const first: Waiter[] = [];
  /** Turns that unproven waiters have earned, while both lanes had somebody waiting. */
  let credit = 0;

  const laneOf = ({ isProven }: Pick<Place, 'isProven'>) => (isProven ? proven : unproven);
  const turnsBeside = (turns: number, share: number) => (turns * share) / Math.max(1 - share, Number.EPSILON);

  const takeTurn = (app?: string): Waiter | undefined => {
    if (proven.size === 0 || unproven.size === 0) {
      credit = 0;
      return proven.shift(app) ?? unproven.shift(app);
    }
    const isUnprovensTurn = credit + unprovenShare >= 1;
    const [before, after] = isUnprovensTurn ? [unproven, proven] : [proven, unproven];
    const waiter = before.shift(app) ?? after.shift(app);
    if (!waiter) return undefined;
    credit += unprovenShare - (waiter.isProven ? 0 : 1);
    credit = Math.max(-MAX_CREDIT, Math.min(credit, MAX_CREDIT));
    return waiter;
  };
  const takeFirst = (app?: string): Waiter | undefined => {
    const at = app === undefined ? 0 : first.findIndex((waiter) => waiter.app === app);
    return at === -1 ? undefined : first.splice(at, 1)[0];
  };

  return {
    push: (waiter) => laneOf(waiter).push(waiter),
    pushFirst: (waiter) => void first.push(waiter),
    shift: (app) => takeFirst(app) ?? takeTurn(app),
    prove(bearer) {
      const waiters = [...first, ...unproven.order()].filter((waiter) => !waiter.isProven && waiter.bearer === bearer);
      for (const waiter of waiters) {
        const wasWaiting = unproven.remove(waiter);
        waiter.isProven = true;
        if (wasWaiting) proven.push(waiter);
      }
      return waiters.length > 0;
    },
    remove(waiter) {
      const at = first.indexOf(waiter);
      if (at === -1) return laneOf(waiter).remove(waiter);
      first.splice(at, 1);
      return true;
    },
    *order() {
      yield* first;
      yield* interleave(proven, unproven, unprovenShare, credit);
    },
    ahead(place) {
      const own = laneOf(place).ahead(place);
      // While `own` turns are taken in its lane (and, for an unproven one, its own), the other lane takes so many.
      const other = place.isProven
        ? Math.min(unproven.size, Math.floor(turnsBeside(own, unprovenShare)))
        : Math.min(proven.size, Math.ceil(turnsBeside(own + 1, 1 - unprovenShare)));
      return first.length + own + other;
    },
    aheadInApp(place) {
      const inFirst = first.filter(({ app }) => app === place.app).length;
      return inFirst + laneOf(place).aheadInApp(place);
    },
    waitingOf: (place) => proven.waitingOf(place) + unproven.waitingOf(place),
    sizeOf(app) {
      if (app === undefined) return this.size;
      return first.filter((waiter) => waiter.app === app).length + proven.sizeOf(app) + unproven.sizeOf(app);
    },
    get size() {
      return first.length + proven.size + unproven.size;
    },
    get clients() {
      return this.provenClients + unproven.clients;
    },
    get provenClients() {
      return proven.clients + (first.length > 0 ? 1 : 0);
    },
  };
}

/** The order of both lanes: each turn is the unproven lane's once it has earned one. */
function* interleave<Waiter extends Place>(
  proven: Lane<Waiter>,
  unproven: Lane<Waiter>,
  unprovenShare: number,
  credit: number,
): Generator<Waiter> {
  const [provens, unprovens] = [proven.order(), unproven.order()];
  let earned = credit;
  let [left, right] = [provens.next(), unprovens.next()];
  while (!left.done && !right.done) {
    earned += unprovenShare;
    if (earned < 1) {
      yield left.value;
      left = provens.next();
    } else {
      earned -= 1;
      yield right.value;
      right = unprovens.next();
    }
  }
  if (!left.done) yield left.value;
  yield* provens;
  if (!right.done) yield right.value;
  yield* unprovens;
}
