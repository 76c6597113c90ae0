import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import type { Allowances, Scopes } from '../../src/quota/ledger.ts';
import { connectRedis, type RedisConnection } from '../../src/redis/connection.ts';
import { createRedisLedger, type RedisLedger, type RedisLedgerOptions } from '../../src/quota/redis-ledger.ts';
import type { ShiftClock } from '../kit/shift-clock.ts';

/** Thirty a second, and the default margin. */
export const WINDOW_MS = 1035;
export const thirty: Allowances = (scope) => ({ slots: scope === 'app:small' ? 5 : 30, windowMs: WINDOW_MS });
export const EGRESS: Scopes = ['egress'];

const one = { proven: 1, unproven: 0 };

/** What an ask says when nothing in particular is meant. */
export const ask = (count: number, scopes: Scopes = EGRESS) => ({ count, scopes, clients: one, accepted: false });

let accounts = 0;
/** A prefix that no other test uses. */
export const freshPrefix = (): string => `test-${process.pid}-${(accounts += 1)}:`;

/** Connects, and disconnects after the test. */
export async function connected(url: string, onDown: (reason?: Error) => void = () => {}): Promise<RedisConnection> {
  const redis = connectRedis(url, onDown);
  onTestFinished(() => redis.disconnect());
  if (redis.status !== 'ready') await once(redis, 'ready');
  return redis;
}

/** One replica's view of the shared account. */
export function replicaOf(
  redis: RedisConnection,
  clock: ShiftClock,
  options: Partial<RedisLedgerOptions> & { keyPrefix: string },
): RedisLedger {
  const defaults = { unprovenShare: 0.2, allowances: thirty, pacing: 'auto', egress: 'e1', replica: 'one' } as const;
  return createRedisLedger({ ...defaults, shiftMs: () => clock.shiftMs, ...options }, redis, clock);
}

/** The greatest number of times in any window of so many ms. */
export function mostIn(windowMs: number, times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (const [i, at] of sorted.entries()) {
    while (at - (sorted[first] ?? at) >= windowMs) first += 1;
    most = Math.max(most, i - first + 1);
  }
  return most;
}
