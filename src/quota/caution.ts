/**
 * What refusals of the upstream teach: to go evenly, to pause, to probe.
 *
 * A refusal while fewer slots than the allowance were used in its window says that the upstream counts more strictly
 * than it promises (a small burst, or strangers on the same address): slots are handed out evenly for a while, longer
 * each time. Refusals in a cluster say that it is away: a pause, longer each time, and then single probes until one is
 * accepted. `lua/refused.lua` does the same for all replicas of an egress.
 */

/** The numbers of caution, in ms where they are times. */
export const CAUTION = {
  /** As many refusals within `clusterMs` are a cluster. */
  cluster: 8,
  clusterMs: 1500,
  firstPauseMs: 500,
  longestPauseMs: 2000,
  /** Between two probes. */
  probeMs: 250,
  firstSmoothMs: 30_000,
  longestSmoothMs: 600_000,
  /** A refusal of a slot up to this part of the allowance is a surprise; above, jitter may have pushed it in. */
  surprise: 0.9,
} as const;

/** What has been learnt so far; times on the clock of whoever keeps it. */
export type Caution = {
  pausedUntil: number;
  pauseMs: number;
  isProbing: boolean;
  smoothUntil: number;
  smoothMs: number;
  refusals: number[];
};

/** Nothing learnt yet. */
export const noCaution = (): Caution => ({
  pausedUntil: 0,
  pauseMs: 0,
  isProbing: false,
  smoothUntil: 0,
  smoothMs: 0,
  refusals: [],
});

/** Learns from a refusal at `now`, of the slot that was the `rank`-th of `slots` in its window, where that is still known. */
export function learnRefusal(caution: Caution, now: number, rank: number | undefined, slots: number): void {
  caution.refusals = [...caution.refusals.filter((at) => at > now - CAUTION.clusterMs), now];
  // One that was on its way before the pause began tells nothing new.
  if (now < caution.pausedUntil) return;
  if (caution.isProbing || caution.refusals.length >= CAUTION.cluster) {
    caution.pauseMs = Math.min(Math.max(caution.pauseMs * 2, CAUTION.firstPauseMs), CAUTION.longestPauseMs);
    caution.pausedUntil = now + caution.pauseMs;
    caution.isProbing = true;
    caution.refusals = [];
    // What its first refusals taught is not so: the upstream did not count them, it was away.
    if (caution.smoothUntil - caution.smoothMs > now - CAUTION.clusterMs) {
      caution.smoothUntil = 0;
      caution.smoothMs /= 2;
    }
  } else if (rank !== undefined && rank <= slots * CAUTION.surprise && now >= caution.smoothUntil) {
    // Longer each time; but a time as long as the longest without a surprise is forgotten.
    const lastMs = now < caution.smoothUntil + CAUTION.longestSmoothMs ? caution.smoothMs : 0;
    caution.smoothMs = Math.min(Math.max(lastMs * 2, CAUTION.firstSmoothMs), CAUTION.longestSmoothMs);
    caution.smoothUntil = now + caution.smoothMs;
  }
}

/** Learns that the upstream has accepted an attempt: a probe that went well ends the probing. */
export function learnAcceptance(caution: Caution, now: number): void {
  // In the first pause, attempts from before it are still answered; later on, only probes can be.
  if (now < caution.pausedUntil && caution.pauseMs <= CAUTION.firstPauseMs) return;
  caution.isProbing = false;
  caution.pausedUntil = 0;
  caution.pauseMs = 0;
}
