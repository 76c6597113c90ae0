/**
 * The clock of a server, as far as it can be known from here.
 *
 * Each exchange that brings the server's time proves bounds of the offset between its clock and ours: it was read after
 * the request went out and before the answer came in. The bounds of several exchanges are cut together, and grow apart
 * with time, since clocks drift. So a time here can be told there as the earliest or the latest that it may have been,
 * and however long a command or an answer lies in a stalled connection, it is never told as later or earlier than that.
 */
export type TheirClock = {
  /** Learns from an exchange, by our clock that never goes back; false when their clock was set since the last one. */
  learn(sentAt: number, receivedAt: number, theirNow: number): boolean;
  /** Their time at a time here, at the earliest and at the latest; undefined before the first exchange. */
  boundsAt(here: number): { earliest: number; latest: number } | undefined;
  /** The time here at a time there, at the earliest and at the latest. */
  boundsHere(theirs: number): { earliest: number; latest: number } | undefined;
};

/** How much faster or slower than ours another clock may go: twice what clocks are slewed by. */
const DRIFT = 1 / 1000;
/** What rounding may take from a bound, in ms. */
const HAIR_MS = 1;
/** A clock that was corrected by so little, in ms, was not set: what happens within so short a time has no order. */
const STEP_MS = 20;

/** Opens a clock that nothing is known of. */
export function createTheirClock(now: () => number): TheirClock {
  // The offset, theirs less ours, lies between these, as of a time here.
  let known: { low: number; high: number; at: number } | undefined;
  const bounds = (at: number) => {
    if (!known) return undefined;
    const drift = Math.max(0, at - known.at) * DRIFT;
    return { low: known.low - drift, high: known.high + drift };
  };
  return {
    learn(sentAt, receivedAt, theirNow) {
      const sample = { low: theirNow - receivedAt - HAIR_MS, high: theirNow - sentAt + HAIR_MS };
      const old = bounds(receivedAt) ?? sample;
      const low = Math.max(old.low, sample.low);
      const high = Math.min(old.high, sample.high);
      known = low <= high ? { low, high, at: receivedAt } : { ...sample, at: receivedAt };
      return low - high <= STEP_MS;
    },
    boundsAt(here) {
      const offset = bounds(now());
      if (!offset) return undefined;
      // A while ago, the offset was another.
      const drift = Math.abs(now() - here) * DRIFT;
      return { earliest: here + offset.low - drift, latest: here + offset.high + drift };
    },
    boundsHere(theirs) {
      const offset = bounds(now());
      if (!offset) return undefined;
      const [earliest, latest] = [theirs - offset.high, theirs - offset.low];
      const drift = Math.abs(now() - earliest) * DRIFT;
      return { earliest: earliest - drift, latest: latest + drift };
    },
  };
}
