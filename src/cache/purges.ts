/**
 * Purges that reach all replicas: each takes out what the operator names, and tells the others through Redis.
 *
 * A replica that is not connected at that moment does not hear of it; nor does one that starts later with an old folder.
 * What is purged is not what somebody may not see, that is decided when it is asked for: it is what is wrong, or to go.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { RedisConfig } from '../redis/config.ts';
import { connectRedis, type RedisConnection, watchRedis } from '../redis/connection.ts';
import { createSubscriber } from '../redis/subscriber.ts';
import type { Cache } from './cache.ts';
import { partsOf, type Selector, selectorOf } from './entry.ts';

/** What became of a purge: whether it holds here also after a restart, and whether the other replicas were told. */
export type Purged = { isLasting: boolean; others: 'told' | 'not told' | 'none known' };

/** Purges here and at the other replicas. */
export type Purges = Disposable & { purge(selector: Selector): Promise<Purged> };

/** Raised when what is said changes. */
const LAYOUT = 'v1';

/** Opens the way to the other replicas, where there is a Redis. */
export function createPurges(cache: Cache, redis: RedisConfig | undefined, clock: Clock): Purges {
  if (redis?.url === undefined) {
    return {
      purge: async (selector) => ({ isLasting: await cache.purge(selector), others: 'none known' }),
      [Symbol.dispose]() {},
    };
  }
  const self = randomUUID();
  const channel = `${redis.keyPrefix}purge:${LAYOUT}`;
  const connection = connectRedis(redis.url, () => {});
  watchRedis(connection, 'purges', redis.watch);
  const onMessage = (_channel: string, text: string) => {
    const said = readMessage(text);
    if (said && said.from !== self) void cache.purge(said.selector);
  };
  const subscriber = createSubscriber(redis.url, [channel], { onMessage, onUp() {}, onDown() {} }, clock);
  return {
    async purge(selector) {
      const [isLasting, others] = await Promise.all([
        cache.purge(selector),
        tell(connection, channel, JSON.stringify({ from: self, parts: partsOf(selector) })),
      ]);
      return { isLasting, others };
    },
    [Symbol.dispose]() {
      subscriber[Symbol.dispose]();
      connection.disconnect();
    },
  };
}

async function tell(connection: RedisConnection, channel: string, message: string): Promise<Purged['others']> {
  try {
    await connection.publish(channel, message);
    return 'told';
  } catch {
    return 'not told';
  }
}

function readMessage(text: string): { from: string; selector: Selector } | undefined {
  try {
    const { from, parts } = JSON.parse(text) as { from?: unknown; parts?: unknown };
    const selector = selectorOf(parts);
    return typeof from === 'string' && selector ? { from, selector } : undefined;
  } catch {
    return undefined;
  }
}
