import { Redis } from 'ioredis';
import type { Clock } from '../clock.ts';
import { partsOf, subscriberOptions } from './connection.ts';

/** What a subscriber hears, and when it can. */
export type SubscriberEvents = {
  onMessage: (channel: string, message: string) => void;
  /** From now on nothing is missed… */
  onUp: () => void;
  /** …until now. */
  onDown: () => void;
};

/** A connection of its own that hears channels; messages of the time while it was down are lost. */
export type Subscriber = Disposable & {
  /** Gives the connection up and makes another: this one is known to be deaf. */
  reconnect(): void;
};

/** Between two connections, in ms. */
const RETRY_MS = 200;

/**
 * Subscribes, and again after each loss, over a new connection each time: a client that mends itself in silence does not
 * tell what it missed. In a Cluster any node will do, since all hear of all messages; each loss tries the next.
 */
export function createSubscriber(
  url: string,
  channels: readonly string[],
  { onMessage, onUp, onDown }: SubscriberEvents,
  clock: Clock,
): Subscriber {
  const parts = partsOf(url);
  let attempts = 0;
  let isClosed = false;
  let isUp = false;
  let cancelRetry = () => {};
  let current: Redis;

  const connect = () => {
    const redis = new Redis(subscriberOptions(parts, attempts));
    attempts += 1;
    current = redis;
    // The reason is told by the connection for commands; without a listener it would end the process.
    redis.on('error', () => {});
    redis.on('message', (channel: string, message: string) => {
      if (current === redis) onMessage(channel, message);
    });
    redis.on('ready', () => void subscribe(redis));
    redis.once('end', () => lose(redis));
  };

  const subscribe = async (redis: Redis) => {
    try {
      await redis.subscribe(...channels);
      if (current !== redis || isClosed) return;
      isUp = true;
      onUp();
    } catch {
      lose(redis);
    }
  };

  const lose = (redis: Redis) => {
    if (current !== redis || isClosed) return;
    redis.disconnect();
    if (isUp) onDown();
    isUp = false;
    cancelRetry();
    cancelRetry = clock.after(RETRY_MS, connect);
  };

  connect();
  return {
    reconnect: () => lose(current),
    [Symbol.dispose]() {
      isClosed = true;
      cancelRetry();
      current.disconnect();
    },
  };
}
