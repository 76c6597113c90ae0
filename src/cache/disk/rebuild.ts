/**
 * Finds again what an earlier process has written.
 *
 * 1. Segments are walked through from the newest to the oldest, and what each holds is taken from its end: so whatever
 *    is in the index or in a grave already is newer than what is found.
 * 2. The writer begins as soon as the newest is known to its end.
 * 3. Where something that made older records void was lost, everything older than the loss goes.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../clock.ts';
import { isExpired } from '../entry.ts';
import type { Graves } from './graves.ts';
import { type Found, type Walk, walk } from './scan.ts';
import type { Segment } from './segment.ts';
import type { Counts, Shelf } from './shelf.ts';
import type { Writer } from './writer.ts';

/** What is found again, and by what it is judged. */
export type RebuildDeps = {
  shelf: Shelf;
  graves: Graves;
  writer: Writer;
  clock: Clock;
  counts: Counts;
  lifetimeMs: number;
  isClosed: () => boolean;
};

/** How many records are indexed without a pause for requests. */
const AT_ONCE = 1000;

/** Fills the index; settles when it is whole, or the log is closed. */
export async function rebuild(deps: RebuildDeps): Promise<void> {
  const { segments } = deps.shelf;
  const { counts, isClosed } = deps;
  counts.corrupt += segments.damaged;
  const all = segments.fromNewest();
  const newest = all[0];
  if (segments.hasLostNewest) {
    // Written down as well, should one of them refuse to go.
    void deps.shelf.pending.erase({});
    await removeAll(deps, all);
  }
  if (segments.hasLostNewest || !newest) return deps.writer.begin(undefined, 0);

  let newerVoids = 0;
  for (const [rank, segment] of all.entries()) {
    const walked = await walk(segment);
    if (isClosed()) return;
    // Evicted meanwhile, and with it all that is older.
    if (segments.get(segment.number) !== segment) return;
    counts.corrupt += walked.damaged;
    segment.youngestAt = walked.youngestAt;
    if (segment === newest) await begin(deps, segment, walked);
    if (newerVoids > walked.voids) return removeAll(deps, all.slice(rank));
    await index(deps, segment, walked);
    if (walked.trustedFrom > 0) return removeAll(deps, all.slice(rank + 1));
    newerVoids = segment.voids;
  }
}

async function begin({ writer }: RebuildDeps, newest: Segment, { end, voids }: Walk): Promise<void> {
  newest.tail = end;
  const isCut = await newest.cut().then(
    () => true,
    () => false,
  );
  writer.begin(isCut ? newest : undefined, voids);
}

async function index({ shelf, graves, clock, lifetimeMs }: RebuildDeps, segment: Segment, walked: Walk): Promise<void> {
  const { places, segments } = shelf;
  const bury = (found: Found) => {
    if (found.kind === 'erasure') return graves.bury(found.selector);
    const { key, print, place } = found;
    if (isExpired(found, lifetimeMs, clock.now())) return graves.bury(key);
    // What is pending is found before the index is asked, and will be put into it.
    if (places.get(print) || graves.holds(key)) return;
    places.set(print, place);
  };
  for (let at = walked.found.length - 1; at >= walked.trustedFrom; at -= 1) {
    bury(walked.found[at]!);
    if (at % AT_ONCE > 0) continue;
    await nextTurn();
    if (segments.get(segment.number) !== segment) return;
  }
}

/** Removes segments, the oldest first. What cannot be removed is at least not in the index. */
async function removeAll({ shelf }: RebuildDeps, fromNewest: readonly Segment[]): Promise<void> {
  for (const segment of fromNewest.toReversed()) {
    await shelf.segments.remove(segment).catch(() => {});
    shelf.places.leave(segment.number);
  }
}
