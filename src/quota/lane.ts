/**
 * Apps by stride, clients by turn: one lane of the fair queue.
 *
 * 1. Each app has a `pass`. The app with the lowest is served, and its pass moves on by 1 / weight.
 * 2. An app that comes starts at the pass that is being served, or where it left off if that is further on.
 * 3. One app may be served out of turn, where a slot is its alone. The others are then behind; what they may catch up
 *    is bounded, since an app that could not be served for want of slots of its own has not earned them.
 */

/**
 * What a waiter is served by. `bearer` names its credentials (never in the clear), `isProven` tells whether the upstream
 * has accepted them. `priority` 0 is the best; leave it at 0 to serve by turn alone.
 */
export type Place = { client: string; app: string; bearer: string; isProven: boolean; priority: number };

/** How many turns an app may be behind. */
const BEHIND = 4;

type Line<Waiter> = Set<Waiter>;
type App<Waiter> = {
  weight: number;
  pass: number;
  size: number;
  /** By priority, then by client in the order of their turns: a Map's order is that of insertion. */
  classes: Map<number, Map<string, Line<Waiter>>>;
};

/** Who waits in one lane. Only apps and clients that have somebody waiting are kept. */
export class Lane<Waiter extends Place> {
  readonly #apps = new Map<string, App<Waiter>>();
  readonly #weightOf: (app: string) => number;
  /** Where apps that have left stand, as long as that is further on than all others. */
  readonly #left = new Map<string, number>();
  #pass = 0;
  #size = 0;
  #clients = 0;

  constructor(weightOf: (app: string) => number) {
    this.#weightOf = weightOf;
  }

  get size(): number {
    return this.#size;
  }

  /** Clients that wait, each counted in each app and class: asked for with every request, so it is kept. */
  get clients(): number {
    return this.#clients;
  }

  sizeOf(app: string): number {
    return this.#apps.get(app)?.size ?? 0;
  }

  push(waiter: Waiter): void {
    const app = entry(this.#apps, waiter.app, () => ({
      weight: this.#weightOf(waiter.app),
      pass: Math.max(this.#pass, this.#left.get(waiter.app) ?? 0),
      size: 0,
      classes: new Map(),
    }));
    const lines = entry(app.classes, waiter.priority, () => new Map<string, Line<Waiter>>());
    const line = entry(lines, waiter.client, () => new Set<Waiter>());
    if (line.size === 0) this.#clients += 1;
    line.add(waiter);
    app.size += 1;
    this.#size += 1;
  }

  /** Takes out whoever is next, of one app only where that is named. */
  shift(only?: string): Waiter | undefined {
    const named = only === undefined ? undefined : this.#apps.get(only);
    const apps = only === undefined ? [...this.#apps.values()] : named ? [named] : [];
    const priority = best(apps);
    const next = lowest(apps.filter(({ classes }) => classes.has(priority)));
    const turn = next?.classes.get(priority)?.entries().next().value;
    if (!next || !turn) return undefined;
    const [client, line] = turn;
    const [waiter] = line;
    if (!waiter) return undefined;
    this.#moveOn(next);
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
    app.size -= 1;
    if (line.size === 0) {
      lines.delete(waiter.client);
      this.#clients -= 1;
    }
    if (lines.size === 0) app.classes.delete(waiter.priority);
    if (app.classes.size === 0) {
      this.#apps.delete(waiter.app);
      if (app.pass > this.#pass) this.#left.set(waiter.app, app.pass);
    }
    return true;
  }

  /** All who wait, in the order in which they will be served if nobody comes or leaves. */
  *order(): Generator<Waiter> {
    const apps = [...this.#apps.values()].map(({ pass, weight, classes }) => ({
      pass,
      weight,
      classes: new Map([...classes].map(([priority, lines]) => [priority, turns(lines)])),
    }));
    for (let left = this.#size; left > 0; left -= 1) {
      const priority = best(apps);
      const next = lowest(apps.filter(({ classes }) => classes.has(priority)));
      const turn = next?.classes.get(priority)?.next().value;
      if (!next || !turn) return;
      next.pass += 1 / next.weight;
      if (turn.isLast) next.classes.delete(priority);
      yield turn.waiter;
    }
  }

  /**
   * Everybody of a better class; of each other client of the app as many as this one will have had turns; and of the
   * other apps, as many as their weight gives them meanwhile.
   */
  ahead(place: Place): number {
    const { app: own, priority } = place;
    const inTurn = this.#inTurn(place);
    let ahead = inTurn;
    for (const [name, { classes, weight }] of this.#apps) {
      ahead += better(classes, priority);
      const lines = name === own ? undefined : classes.get(priority);
      if (lines) ahead += Math.min(waitersIn(lines), Math.ceil(((inTurn + 1) * weight) / this.#weightOf(own)));
    }
    return ahead;
  }

  /** The same, of its own app alone. */
  aheadInApp(place: Place): number {
    return this.#inTurn(place) + better(this.#apps.get(place.app)?.classes ?? new Map(), place.priority);
  }

  waitingOf({ app, client }: Pick<Place, 'client' | 'app'>): number {
    let waiting = 0;
    for (const lines of this.#apps.get(app)?.classes.values() ?? []) waiting += lines.get(client)?.size ?? 0;
    return waiting;
  }

  /** Who goes before a newcomer among those of its app and class. */
  #inTurn({ app, client, priority }: Place): number {
    const lines = this.#apps.get(app)?.classes.get(priority);
    const before = lines?.get(client)?.size ?? 0;
    let ahead = before;
    for (const [other, line] of lines ?? []) if (other !== client) ahead += Math.min(line.size, before + 1);
    return ahead;
  }

  #moveOn(served: App<Waiter>): void {
    for (const app of this.#apps.values()) app.pass = Math.max(app.pass, served.pass - BEHIND / app.weight);
    this.#pass = Math.max(this.#pass, Math.min(...this.#apps.values().map(({ pass }) => pass)));
    for (const [app, pass] of this.#left) if (pass <= this.#pass) this.#left.delete(app);
    served.pass += 1 / served.weight;
  }
}

function waitersIn<Waiter>(lines: ReadonlyMap<string, Line<Waiter>>): number {
  return lines.values().reduce((sum, line) => sum + line.size, 0);
}

/** How many wait in better classes than this. */
function better<Waiter>(classes: App<Waiter & Place>['classes'], priority: number): number {
  let sum = 0;
  for (const [each, lines] of classes) if (each < priority) sum += waitersIn(lines);
  return sum;
}

/** The waiters of one class, each client's first, then each client's second, and so on. */
function* turns<Waiter>(lines: Map<string, Line<Waiter>>): Generator<{ waiter: Waiter; isLast: boolean }> {
  let left = waitersIn(lines);
  let round = [...lines.values()].map((line) => line.values());
  while (left > 0) {
    const more: typeof round = [];
    for (const line of round) {
      const { value, done } = line.next();
      if (done) continue;
      left -= 1;
      more.push(line);
      yield { waiter: value, isLast: left === 0 };
    }
    round = more;
  }
}

/** The best priority that anybody of these apps has; the lower, the better. */
function best(apps: readonly { classes: ReadonlyMap<number, unknown> }[]): number {
  let found = Infinity;
  for (const { classes } of apps) for (const priority of classes.keys()) found = Math.min(found, priority);
  return found;
}

function lowest<Passing extends { pass: number }>(apps: readonly Passing[]): Passing | undefined {
  let found: Passing | undefined;
  for (const app of apps) if (!found || app.pass < found.pass) found = app;
  return found;
}

function entry<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
