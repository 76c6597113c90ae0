import type { Clock } from '../clock.ts';
import { NEVER } from './may-see.ts';

/** When each token that proves itself was first seen, for a gateway that shares nothing; else Redis remembers it. */
export type FirstSights = {
  /** The time of the first sight, which may be now; undefined when there is no room to remember it. */
  claim(identity: string, endsAt: number): number | undefined;
  /** No first sight is left: the token was refused. */
  spend(identity: string, endsAt: number): void;
};

/** Between two searches for tokens that have ended, in ms. */
const SWEEP_MS = 1000;

/**
 * Remembers first sights until the tokens end. None is ever forgotten before: that would give it a second window. When
 * there is no more room, a new one gets no window at all, and the upstream is asked as for any other token.
 */
export function createFirstSights(clock: Clock, max = 50_000): FirstSights {
  const sights = new Map<string, { at: number; endsAt: number }>();
  let sweptAt = NEVER;
  /** A refusal found no room: from then on nothing new is given a window, since it might be the one refused. */
  let isFull = false;
  const makeRoom = () => {
    if (clock.monotonic() - sweptAt < SWEEP_MS) return;
    sweptAt = clock.monotonic();
    for (const [identity, { endsAt }] of sights) if (endsAt <= clock.now()) sights.delete(identity);
  };
  const remember = (identity: string, sight: { at: number; endsAt: number }): boolean => {
    if (sights.size >= max && !sights.has(identity)) makeRoom();
    if (sights.size >= max && !sights.has(identity)) return false;
    sights.set(identity, sight);
    return true;
  };
  return {
    claim(identity, endsAt) {
      const known = sights.get(identity);
      if (known) return known.at;
      if (isFull) return undefined;
      const at = clock.monotonic();
      return remember(identity, { at, endsAt }) ? at : undefined;
    },
    spend(identity, endsAt) {
      if (!remember(identity, { at: NEVER, endsAt })) isFull = true;
    },
  };
}
