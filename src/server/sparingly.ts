import type { Clock } from '../clock.ts';

/** How often a kind of trouble is told of at most, in ms: anybody may cause it, as often as he likes. */
const TELL_EVERY_MS = 60_000;

/** Tells the first of each kind, and then one a minute, with the number of those in between; kinds are of a closed set. */
export function sparingly(clock: Pick<Clock, 'monotonic'>) {
  const seen = new Map<string, { toldAt: number; since: number }>();
  return (kind: string, tell: (alsoSinceTheLast: number) => void): void => {
    const now = clock.monotonic();
    const before = seen.get(kind);
    if (before && now - before.toldAt < TELL_EVERY_MS) {
      before.since += 1;
      return;
    }
    seen.set(kind, { toldAt: now, since: 0 });
    tell(before?.since ?? 0);
  };
}
