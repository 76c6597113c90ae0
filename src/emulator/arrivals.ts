import type { LimitedInterface } from './limiter.ts';

/** The most arrivals that any sliding second has seen. */
export type PeakMeter = { note(atMs: number): void; readonly peak: number };

/** Counts of what arrived at the limited interfaces. */
export type ArrivalCounts = {
  arrived: number;
  accepted: number;
  refused: number;
  /** The most in any sliding second, over all sources together. */
  maxPerSecond: { arrived: number; accepted: number } & Record<LimitedInterface, number>;
};

/** Watches the arrivals at the limited interfaces. */
export type Arrivals = {
  note(wanted: LimitedInterface, accepted: boolean, atMs: number): void;
  counts(): ArrivalCounts;
  clear(): void;
};

const SECOND_MS = 1000;

/** Makes a meter; arrivals must be noted in the order of time. */
export function createPeakMeter(): PeakMeter {
  let times: number[] = [];
  let oldest = 0;
  let peak = 0;
  return {
    note(atMs) {
      times.push(atMs);
      while ((times[oldest] ?? Infinity) <= atMs - SECOND_MS) oldest += 1;
      peak = Math.max(peak, times.length - oldest);
      if (oldest > 1000 && oldest * 2 > times.length) {
        times = times.slice(oldest);
        oldest = 0;
      }
    },
    get peak() {
      return peak;
    },
  };
}

const emptyMeters = () => ({
  arrived: createPeakMeter(),
  accepted: createPeakMeter(),
  upload: createPeakMeter(),
  download: createPeakMeter(),
  thumbnail: createPeakMeter(),
});

/** Starts counting. */
export function createArrivals(): Arrivals {
  let meters = emptyMeters();
  let arrived = 0;
  let accepted = 0;

  return {
    note(wanted, wasAccepted, atMs) {
      arrived += 1;
      meters.arrived.note(atMs);
      if (!wasAccepted) return;
      accepted += 1;
      meters.accepted.note(atMs);
      meters[wanted].note(atMs);
    },
    counts: () => ({
      arrived,
      accepted,
      refused: arrived - accepted,
      maxPerSecond: {
        arrived: meters.arrived.peak,
        accepted: meters.accepted.peak,
        upload: meters.upload.peak,
        download: meters.download.peak,
        thumbnail: meters.thumbnail.peak,
      },
    }),
    clear() {
      meters = emptyMeters();
      arrived = 0;
      accepted = 0;
    },
  };
}
