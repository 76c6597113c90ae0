import { hash, randomBytes } from 'node:crypto';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Clock } from '../clock.ts';

/** What a limit says of one request: whether it may go on, what its client has left, and in how many ms that is whole again. */
export type ClientVerdict = { allowed: boolean; limit: number; remaining: number; resetMs: number };

/** The library's answer, with its "no" as a value. */
export type Counted = { allowed: boolean; counted: RateLimiterRes };

/** The one place that knows how the library says no: by rejecting with something that is not an Error. Errors stay errors. */
export async function readCount(asked: Promise<RateLimiterRes>): Promise<Counted> {
  try {
    return { allowed: true, counted: await asked };
  } catch (thrown) {
    if (thrown instanceof RateLimiterRes) return { allowed: false, counted: thrown };
    throw thrown;
  }
}

/** The verdict that a count comes to. A refusal always names a time to come back. */
export const verdictOf = ({ allowed, counted }: Counted, limit: number): ClientVerdict => ({
  allowed,
  limit,
  remaining: allowed ? Math.min(limit, counted.remainingPoints) : 0,
  resetMs: Math.max(allowed ? 0 : 1, counted.msBeforeNext),
});

/** A count of each client's requests in this process alone; never rejects. */
export type LocalCount = {
  /** Counts one request against the allowance, or against `share` of it. */
  consume(key: string, share?: number): Promise<ClientVerdict>;
};

/** An allowance for each client, and how many clients are counted one by one: about 500 bytes each. */
export type LocalCountOptions = { requests: number; seconds: number; maxClients?: number };

/** How many allowances newcomers share when more clients come than are counted one by one. */
const CROWDS = 4096;

/**
 * Counts in memory, within bounds. Whoever comes when `maxClients` are known shares an allowance with some others: an
 * attacker with a whole network of addresses gets neither all of the memory nor a way around the limit.
 */
export function createLocalCount(
  { requests, seconds, maxClients = 50_000 }: LocalCountOptions,
  clock: Clock,
): LocalCount {
  const limiter = new RateLimiterMemory({ keyPrefix: '', points: requests, duration: seconds });
  const known = createWindowCount(seconds * 1000, clock);
  const salt = randomBytes(16).toString('base64');
  const crowdOf = (key: string) => `crowd ${parseInt(hash('sha256', salt + key).slice(0, 8), 16) % CROWDS}`;

  return {
    async consume(key, share = requests) {
      const isNewInCrowd = known.count() >= maxClients && (await limiter.get(key)) === null;
      limiter.points = share;
      const answer = await readCount(limiter.consume(isNewInCrowd ? crowdOf(key) : key));
      if (answer.counted.isFirstInDuration) known.add();
      return verdictOf(answer, requests);
    },
  };
}

/** Counts what began within the last window, or a little more: by the window that runs and the one before. */
function createWindowCount(windowMs: number, clock: Clock) {
  let [before, now, endsAt] = [0, 0, clock.monotonic() + windowMs];
  const turn = () => {
    const time = clock.monotonic();
    if (time < endsAt) return;
    before = time < endsAt + windowMs ? now : 0;
    now = 0;
    endsAt = time + windowMs;
  };
  return {
    add() {
      turn();
      now += 1;
    },
    count() {
      turn();
      return before + now;
    },
  };
}
