/**
 * Who next: a line per client, served in turn, inside apps that are served by weight.
 *
 * 1. A waiter stands in its client's line. Clients of an app take turns, one waiter each.
 * 2. Apps take turns by stride: serving one moves its `pass` on by 1 / weight, and the lowest pass is served next.
 *    An app that comes starts at the pass that is being served, or where it left off if that is further on: having been
 *    away earns nothing, and leaving does not undo the turn that was just used.
 * 3. Waiters whose credentials the upstream has not yet accepted stand in a lane of their own. While proven ones wait
 *    too, that lane gets at most every so many-th turn, so that made-up tokens cannot eat the allowance.
 * 4. With priorities, a class is served only when no better one waits in the same lane.
 */

/** What a waiter is served by. `priority` 0 is the best; leave it at 0 to serve by turn alone. */
export type Place = { client: string; app: string; isProven: boolean; priority: number };

/** Who waits, and who is next. */
export type FairQueue<Waiter extends Place> = {
  /** Puts a waiter at the end of its client's line. */
  push(waiter: Waiter): void;
  /** Puts a waiter that had its turn in vain before all that had none yet: it keeps its place across tries. */
  pushFirst(waiter: Waiter): void;
  /** Takes out whoever is next. */
  shift(): Waiter | undefined;
  /** Takes out one that left; false when it was not waiting. */
  remove(waiter: Waiter): boolean;
  /** How many of those who wait now will be served before one that would come now. */
  ahead(place: Place): number;
  /** How many of one client wait. */
  waitingOf(place: Pick<Place, 'client' | 'app'>): number;
  readonly size: number;
  /** Clients that wait now. */
  readonly clients: number;
  /** Those of them whose credentials the upstream has accepted. */
  readonly provenClients: number;
};

/** `unprovenShare` is the part of all turns that unproven waiters may get while proven ones wait; apps weigh 1 unless named. */
export type FairQueueConfig = { unprovenShare: number; weights: Readonly<Record<string, number>> };

/** Makes an empty queue. */
export function createFairQueue<Waiter extends Place>({ unprovenShare, weights }: FairQueueConfig): FairQueue<Waiter> {
  const weightOf = (app: string) => weights[app] ?? 1;
  const proven = new Lane<Waiter>(weightOf);
  const unproven = new Lane<Waiter>(weightOf);
  const first: Waiter[] = [];
  /** Turns that unproven waiters have earned, while both lanes had somebody waiting. */
  let credit = 0;

  const laneOf = ({ isProven }: Pick<Place, 'isProven'>) => (isProven ? proven : unproven);
  const takeTurn = (): Waiter | undefined => {
    if (proven.size === 0 || unproven.size === 0) {
      credit = 0;
      return proven.shift() ?? unproven.shift();
    }
    credit += unprovenShare;
    if (credit < 1) return proven.shift();
    credit -= 1;
    return unproven.shift();
  };

  return {
    push: (waiter) => laneOf(waiter).push(waiter),
    pushFirst: (waiter) => void first.push(waiter),
    shift: () => first.shift() ?? takeTurn(),
    remove(waiter) {
      const at = first.indexOf(waiter);
      if (at === -1) return laneOf(waiter).remove(waiter);
      first.splice(at, 1);
      return true;
    },
    ahead(place) {
      const own = laneOf(place).ahead(place);
      // While `own` turns are taken in its lane (and, for an unproven one, its own), the other lane takes so many.
      const other = place.isProven
        ? Math.min(unproven.size, Math.floor((own * unprovenShare) / Math.max(1 - unprovenShare, Number.EPSILON)))
        : Math.min(proven.size, Math.ceil(((own + 1) * (1 - unprovenShare)) / Math.max(unprovenShare, Number.EPSILON)));
      return first.length + own + other;
    },
    waitingOf: (place) => proven.waitingOf(place) + unproven.waitingOf(place),
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

type Line<Waiter> = Set<Waiter>;
type App<Waiter> = {
  weight: number;
  pass: number;
  /** By priority, then by client in the order of their turns: a Map's order is that of insertion. */
  classes: Map<number, Map<string, Line<Waiter>>>;
};

/** Apps by stride, clients by turn. Only apps and clients that have somebody waiting are kept. */
class Lane<Waiter extends Place> {
  readonly #apps = new Map<string, App<Waiter>>();
  readonly #weightOf: (app: string) => number;
  /** Where apps that have left stand, as long as that is further on than all others. */
  readonly #left = new Map<string, number>();
  #pass = 0;
  #size = 0;

  constructor(weightOf: (app: string) => number) {
    this.#weightOf = weightOf;
  }

  get size(): number {
    return this.#size;
  }

  get clients(): number {
    let clients = 0;
    for (const { classes } of this.#apps.values()) for (const lines of classes.values()) clients += lines.size;
    return clients;
  }

  push(waiter: Waiter): void {
    const app = entry(this.#apps, waiter.app, () => ({
      weight: this.#weightOf(waiter.app),
      pass: Math.max(this.#pass, this.#left.get(waiter.app) ?? 0),
      classes: new Map(),
    }));
    const lines = entry(app.classes, waiter.priority, () => new Map<string, Line<Waiter>>());
    entry(lines, waiter.client, () => new Set<Waiter>()).add(waiter);
    this.#size += 1;
  }

  shift(): Waiter | undefined {
    const priority = this.#best();
    let next: App<Waiter> | undefined;
    for (const app of this.#apps.values()) {
      if (app.classes.has(priority) && (!next || app.pass < next.pass)) next = app;
    }
    const turn = next?.classes.get(priority)?.entries().next().value;
    if (!next || !turn) return undefined;
    const [client, line] = turn;
    const [waiter] = line;
    if (!waiter) return undefined;
    this.#pass = next.pass;
    for (const [app, pass] of this.#left) if (pass <= this.#pass) this.#left.delete(app);
    next.pass += 1 / next.weight;
    this.remove(waiter);
    // Its next waiter stands behind all other clients of the app.
    const lines = next.classes.get(priority);
    if (lines?.delete(client)) lines.set(client, line);
    return waiter;
  }

  remove(waiter: Waiter): boolean {
    const app = this.#apps.get(waiter.app);
    const lines = app?.classes.get(waiter.priority);
    const line = lines?.get(waiter.client);
    if (!app || !lines || !line?.delete(waiter)) return false;
    this.#size -= 1;
    if (line.size === 0) lines.delete(waiter.client);
    if (lines.size === 0) app.classes.delete(waiter.priority);
    if (app.classes.size === 0) {
      this.#apps.delete(waiter.app);
      if (app.pass > this.#pass) this.#left.set(waiter.app, app.pass);
    }
    return true;
  }

  /**
   * Everybody of a better class; of each other client of the app as many as this one will have had turns; and of the
   * other apps, as many as their weight gives them meanwhile.
   */
  ahead({ app: name, client, priority }: Place): number {
    const own = this.#apps.get(name)?.classes.get(priority);
    const turns = (own?.get(client)?.size ?? 0) + 1;
    let inApp = turns - 1;
    for (const [other, line] of own ?? []) if (other !== client) inApp += Math.min(line.size, turns);
    let elsewhere = 0;
    for (const [other, { classes, weight }] of this.#apps) {
      for (const [each, lines] of classes) {
        const size = lines.values().reduce((sum, line) => sum + line.size, 0);
        if (each < priority) elsewhere += size;
        else if (each === priority && other !== name) {
          elsewhere += Math.min(size, Math.ceil(((inApp + 1) * weight) / this.#weightOf(name)));
        }
      }
    }
    return inApp + elsewhere;
  }

  waitingOf({ app, client }: Pick<Place, 'client' | 'app'>): number {
    let waiting = 0;
    for (const lines of this.#apps.get(app)?.classes.values() ?? []) waiting += lines.get(client)?.size ?? 0;
    return waiting;
  }

  #best(): number {
    let best = Infinity;
    for (const { classes } of this.#apps.values())
      for (const priority of classes.keys()) best = Math.min(best, priority);
    return best;
  }
}

function entry<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
