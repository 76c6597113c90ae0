import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';
import type { RedisConfig } from '../redis/config.ts';
import { connectRedis, type RedisConnection, watchRedis, whyAway } from '../redis/connection.ts';
import type { QuotaConfig } from './config.ts';
import type { Ledger } from './ledger.ts';
import { createLocalLedger } from './local-ledger.ts';
import { createRedisLedger } from './redis-ledger.ts';
import { allowancesBy, EGRESS, readWeights, scopesBy } from './scopes.ts';
import { createSharedLedger } from './shared-ledger.ts';
import { createSlots, type Slots } from './slots.ts';

/** The rule, where it is kept, for which egress, and whom to tell. */
export type OpenQuotaOptions = { quota: QuotaConfig; redis: RedisConfig; egress: string; notice: Notice };

/** Opens the quota: shared through Redis where one is configured, else of this process alone. */
export async function openQuota({ quota, redis, egress, notice }: OpenQuotaOptions, clock: Clock): Promise<Slots> {
  const allowances = allowancesBy(quota);
  const ledger =
    redis.url === undefined
      ? createLocalLedger({ allowances, pacing: quota.pacing }, clock)
      : await openShared({ ...redis, url: redis.url }, quota, egress, notice, clock);
  const options = {
    maxQueued: quota.maxQueued,
    maxQueuedPerClient: quota.maxQueuedPerClient,
    maxQueuedBytes: quota.maxQueuedBytes,
    unprovenShare: quota.unprovenPercent / 100,
    spareRoom: quota.perSecond / 2,
    weights: readWeights(quota.weights),
    scopesOf: scopesBy(quota),
  };
  return createSlots(options, ledger, clock);
}

async function openShared(
  { url, keyPrefix, watch }: RedisConfig & { url: string },
  quota: QuotaConfig,
  egress: string,
  notice: Notice,
  clock: Clock,
): Promise<Ledger> {
  const allowances = allowancesBy(quota);
  // Lost before anything was opened is not lost, but not there yet.
  let onDown = (_reason: Error): void => {};
  const redis = connectRedis(url, (reason) => onDown(reason));
  watchRedis(redis, 'quota', watch);
  await firstContact(redis, FIRST_CONTACT_MS, clock);
  if (redis.status !== 'ready') {
    const text = 'Redis was not reached: until it is, this replica reckons with quota.replicas and counts for itself';
    const details = { replicas: quota.replicas, reason: whyAway(redis, 'not yet connected') };
    notice('warn', text, details, { component: REDIS, is: 'degraded' });
  } else {
    notice('info', 'Redis is there: the quota is shared', {}, { component: REDIS, is: 'ok' });
  }
  const account = createRedisLedger(
    {
      allowances,
      pacing: quota.pacing,
      egress,
      keyPrefix,
      unprovenShare: quota.unprovenPercent / 100,
      replica: randomUUID(),
      onLowered: () =>
        notice('warn', 'another replica of this egress is configured for a lower rate; the lowest counts for all'),
    },
    redis,
    clock,
  );
  const shared = createSharedLedger(
    {
      allowances,
      egressScope: quota.perInterface ? `${EGRESS}:download` : EGRESS,
      replicas: quota.replicas,
      onAway: (reason) => {
        const details = { reason: whyAway(redis, reason) };
        const text = 'Redis is away: this replica goes on with its own share of the quota';
        notice('warn', text, details, { component: REDIS, is: 'degraded' });
      },
      onBack(awayMs) {
        const details = { awayMs: Math.round(awayMs) };
        notice('info', 'Redis is back: the quota is shared again', details, { component: REDIS, is: 'ok' });
      },
    },
    account,
    clock,
  );
  onDown = (reason) => shared.lost(reason);
  return {
    get replicas() {
      return shared.replicas;
    },
    get isAway() {
      return shared.isAway;
    },
    reserve: (ask) => shared.reserve(ask),
    outlook: (scopes) => shared.outlook(scopes),
    giveBack: (slots, scopes) => shared.giveBack(slots, scopes),
    amend: (slot, usedAt, scopes) => shared.amend(slot, usedAt, scopes),
    refused: (slot, scopes) => shared.refused(slot, scopes),
    async [Symbol.asyncDispose]() {
      await shared[Symbol.asyncDispose]();
      redis.disconnect();
    },
  };
}

/** What the second port calls it. */
const REDIS = 'redis';

/** How long a start waits for Redis before it goes on without it, in ms. */
const FIRST_CONTACT_MS = 1000;

/** Waits until a connection is ready, or for so long. */
function firstContact(redis: RedisConnection, withinMs: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(withinMs, resolve);
    redis.once('ready', () => {
      cancel();
      resolve();
    });
  });
}
