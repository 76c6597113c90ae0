/**
 * When the next slot may be: the one rule, for one process here and for many in `lua/reserve.lua`.
 *
 * A scope is one allowance with the times of its slots, past and reserved, in order. A new slot goes to the earliest
 * time at which, in every scope it counts for,
 *   1. no `slots + 1` slots lie within `windowMs` of each other, wherever the window begins;
 *   2. it keeps `gapMs` from its neighbours (0: none is asked for).
 * A slot may lie before others that were reserved earlier: so what is given back is used again, by being taken out.
 */

/** One allowance and its slots' times in ms, in order. */
export type Scope = { times: readonly number[]; slots: number; windowMs: number; gapMs: number };

/** What rounding may take from a distance, in ms: a slot that was given back must fit again. */
const HAIR_MS = 0.01;

/** The earliest time from `from` on that is free in every scope. */
export function earliestSlot(scopes: readonly Scope[], from: number): number {
  let at = from;
  for (;;) {
    const before = at;
    for (const scope of scopes) at = fit(scope, at);
    if (at === before) return at;
  }
}

/** Whether another scope than the first puts a slot off that was granted at `at`: for the first alone, one would be free sooner. */
export function isHeldUp([first, ...others]: readonly Scope[], from: number, at: number): boolean {
  return first !== undefined && others.length > 0 && fit(first, from) < at - HAIR_MS;
}

/** Whether an allowance is used up at a time: from then on slots are paced, and no longer handed out in bursts. */
export function isSaturated({ times, slots, windowMs }: Omit<Scope, 'gapMs'>, at: number): boolean {
  return times.length - countUpTo(times, at - windowMs) >= slots;
}

/**
 * The earliest time from `from` on that is free in one scope. Each step moves on to the first time at which the rule
 * that was just broken could hold, so it ends after at most as many steps as there are slots.
 */
function fit({ times, slots, windowMs, gapMs }: Scope, from: number): number {
  let at = from;
  for (;;) {
    const before = countUpTo(times, at);
    const previous = times[before - 1];
    const next = times[before];
    if (gapMs > 0 && previous !== undefined && at < previous + gapMs) at = previous + gapMs;
    else if (gapMs > 0 && next !== undefined && next < at + gapMs - HAIR_MS) at = next + gapMs;
    else {
      const moved = leaveFullWindow(times, slots, windowMs, at, before);
      if (moved === at) return at;
      at = moved;
    }
  }
}

/** Looks at every run of `slots + 1` slots that a new one at `at` would be part of; `earlier` of the others lie before it. */
function leaveFullWindow(
  times: readonly number[],
  slots: number,
  windowMs: number,
  at: number,
  before: number,
): number {
  for (let earlier = Math.min(slots, before); earlier >= 0; earlier -= 1) {
    const first = earlier === 0 ? at : (times[before - earlier] ?? at);
    const last = earlier === slots ? at : times[before + slots - earlier - 1];
    if (last === undefined) return at;
    if (last >= first + windowMs - HAIR_MS) continue;
    // Behind the window that begins with `first`; a slot that would itself begin a full window moves past its next.
    return earlier === 0 ? (times[before] ?? at) : first + windowMs;
  }
  return at;
}

/** How many times lie up to and at a time. */
function countUpTo(times: readonly number[], at: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((times[middle] ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
