/**
 * What is reserved for one line: one track for all, or one for each app where apps have allowances of their own.
 */
import type { Outlook, Scopes, Slot } from './ledger.ts';
import { Track, type TrackDeps, waitBehind } from './track.ts';

/** The tracks of a line, by app; `scopesOf` tells what a request of an app counts for. */
export class Tracks {
  /** Whether apps have slots of their own. */
  readonly areApart: boolean;
  readonly #scopesOf: (app: string) => Scopes;
  readonly #egress: Scopes;
  readonly #deps: TrackDeps;
  readonly #tracks = new Map<string, Track>();

  constructor(scopesOf: (app: string) => Scopes, deps: TrackDeps) {
    this.#scopesOf = scopesOf;
    this.#egress = [scopesOf('')[0]];
    this.areApart = scopesOf('').length > 1;
    this.#deps = deps;
  }

  /** Each track, and the one app it is for. */
  *[Symbol.iterator](): Generator<[app: string | undefined, Track]> {
    for (const [name, track] of this.#tracks) yield [this.areApart ? name : undefined, track];
  }

  of(app: string): Track {
    const name = this.areApart ? app : '';
    const known = this.#tracks.get(name);
    if (known) return known;
    const track = new Track(this.#scopesOf(app), this.#deps);
    this.#tracks.set(name, track);
    return track;
  }

  /** Forgets the track of an app; clients name the apps. */
  forget(app: string | undefined): void {
    this.#tracks.delete(app ?? '');
  }

  /** What is to be expected of the egress: as the last grant told, or as the account has it when there was none. */
  get outlook(): Outlook {
    const [track] = this.#tracks.values();
    if (!track) return this.#deps.ledger.outlook(this.#egress);
    return this.areApart ? { ...track.outlook, paceMs: this.#deps.ledger.outlook(this.#egress).paceMs } : track.outlook;
  }

  /**
   * How long somebody will wait behind so many: the longer of two waits, for all who go before, by the egress, and for
   * those of the same app, by what that may have.
   */
  waitBehind(ahead: number, aheadInApp: number, app: string): number {
    const now = this.#deps.clock.monotonic();
    const askAgainAt = Math.max(0, ...this.#tracks.values().map((track) => track.askAgainAt));
    const waitMs = waitBehind(ahead, { reserved: this.#reserved, outlook: this.outlook, askAgainAt, now });
    if (!this.areApart) return waitMs;
    const own = this.#tracks.get(app) ?? new Track(this.#scopesOf(app), this.#deps);
    return Math.max(waitMs, waitBehind(aheadInApp, { ...own.state, now }));
  }

  /** Slots held for all but those apps that have to wait for their own allowance. */
  held(now: number): number {
    let held = 0;
    for (const track of this.#tracks.values()) if (!this.areApart || !track.isFull(now)) held += track.held;
    return held;
  }

  /** How many slots each track should hold for the next turns; an app that is full up for a while holds up nobody. */
  wanted(order: Iterable<{ app: string }>, turns: number, now: number): Map<Track, number> {
    const wanted = new Map<Track, number>();
    if (!this.areApart) return wanted.set(this.of(''), turns);
    let left = turns;
    for (const { app } of order) {
      const track = this.of(app);
      if (track.isFull(now)) continue;
      wanted.set(track, (wanted.get(track) ?? 0) + 1);
      left -= 1;
      if (left <= 0) break;
    }
    return wanted;
  }

  get #reserved(): readonly Slot[] {
    const reserved = this.#tracks.values().flatMap((track) => track.reserved);
    return this.areApart ? reserved.toArray().toSorted((a, b) => a.at - b.at) : reserved.toArray();
  }
}
