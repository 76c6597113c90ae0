/**
 * How many requests one client may send on, counted over all replicas.
 *
 * 1. Redis counts, with one command for each request. A client that is over its limit is remembered here until its time
 *    is up, and costs no command.
 * 2. An answer that takes too long, or an error, counts as Redis being away. From then on this replica counts by itself,
 *    each client against a replica's share of the limit, so that no other request waits for the same timeout.
 * 3. A read in the background finds Redis again; only then is it asked for a client.
 * What a client had used before counts on neither edge of such a time: at most the limit once more.
 */
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { type Clock, systemClock } from '../clock.ts';
import type { RedisConfig } from '../redis/config.ts';
import { connectRedis, type RedisConnection, watchRedis } from '../redis/connection.ts';
import type { ClientLimitConfig } from './config.ts';
import { type ClientVerdict, createLocalCount, type LocalCount, readCount, verdictOf } from './local-count.ts';

/** The limit of each client. */
export type ClientLimit = Disposable & {
  /** Counts one request of a client; never rejects, and never takes much longer than `COMMAND_MS`. */
  consume(key: string): Promise<ClientVerdict>;
  /** From now on the limit is another; what was counted for the earlier one still counts where Redis holds it. */
  retune(limit: ClientRate): void;
  /** Whether all replicas count together at the moment. */
  readonly isShared: boolean;
};

/** How many requests in how many seconds. */
export type ClientRate = Pick<ClientLimitConfig, 'requests' | 'seconds'>;

/** The Redis to count in, if any, and how many replicas there are as far as this one knows. */
export type ClientLimitOptions = {
  redis?: RedisConfig | undefined;
  /** What is counted: each by itself. */
  of?: 'client' | 'login';
  replicas?: (() => number) | undefined;
  clock?: Clock | undefined;
};

/** How long a client waits for Redis, in ms, before this replica counts by itself. */
const COMMAND_MS = 100;
/** When a command is given up that nobody waits for any more, in ms. */
const BACKSTOP_MS = 5000;
/** Between two looks whether Redis is back, in ms. */
const PROBE_MS = 250;
/** How many clients over their limit are remembered; the library looks through all of them now and then. */
const MAX_BLOCKED = 4000;
/** Raised when what is written to the keys changes. */
const LAYOUT = 'v1';

/** Opens the limit: counted in Redis where one is configured, else in this process alone. */
export function createClientLimit(
  rate: ClientRate,
  { redis, of = 'client', replicas = () => 1, clock = systemClock }: ClientLimitOptions = {},
): ClientLimit {
  if (redis?.url === undefined) return createLonelyLimit(rate, clock);
  // The connection's errors come to its commands too; nobody has to hear of them twice.
  const connection = connectRedis(redis.url, () => {}, BACKSTOP_MS);
  watchRedis(connection, `${of}_limit`, redis.watch);
  return new SharedLimit(rate, { keyPrefix: `${redis.keyPrefix}${of}`, replicas }, connection, clock);
}

function createLonelyLimit(rate: ClientRate, clock: Clock): ClientLimit {
  let local = createLocalCount(rate, clock);
  return {
    consume: (key) => local.consume(key),
    retune(next) {
      if (!isSameRate(next, rate)) local = createLocalCount(next, clock);
      rate = next;
    },
    isShared: false,
    [Symbol.dispose]() {},
  };
}

/** A generous allowance of each address in this process alone, for what costs no request to the upstream. */
export const createLocalAllowance = (perSecond: number, clock: Clock = systemClock): LocalCount =>
  createLocalCount({ requests: perSecond, seconds: 1 }, clock);

const isSameRate = (a: ClientRate, b: ClientRate): boolean => a.requests === b.requests && a.seconds === b.seconds;

type SharedOptions = { keyPrefix: string; replicas: () => number };

class SharedLimit implements ClientLimit {
  readonly #options: SharedOptions;
  readonly #connection: RedisConnection;
  readonly #clock: Clock;
  #rate: ClientRate;
  #redis: RateLimiterRedis;
  #local: LocalCount;
  #blocked = 0;
  #isAway = false;
  #isClosed = false;
  #cancelProbe: () => void = () => {};

  constructor(rate: ClientRate, options: SharedOptions, connection: RedisConnection, clock: Clock) {
    this.#options = options;
    this.#connection = connection;
    this.#clock = clock;
    this.#rate = rate;
    this.#redis = this.#openCount(rate);
    this.#local = createLocalCount(rate, clock);
  }

  retune(rate: ClientRate): void {
    if (isSameRate(rate, this.#rate)) return;
    this.#rate = rate;
    this.#redis = this.#openCount(rate);
    this.#local = createLocalCount(rate, this.#clock);
    this.#blocked = 0;
  }

  #openCount({ requests, seconds }: ClientRate): RateLimiterRedis {
    return new RateLimiterRedis({
      storeClient: this.#connection,
      keyPrefix: `${this.#options.keyPrefix}:${LAYOUT}`,
      points: requests,
      duration: seconds,
      inMemoryBlockOnConsumed: requests,
      rejectIfRedisNotReady: true,
      // Not its `insuranceLimiter`: that one steps in without a word, and every request would run into the timeout anew.
    });
  }

  get isShared(): boolean {
    return !this.#isAway && this.#connection.status === 'ready';
  }

  async consume(key: string): Promise<ClientVerdict> {
    if (!this.#isAway) {
      try {
        return await this.#consumeShared(key);
      } catch {
        this.#goAlone(key);
      }
    }
    return this.#local.consume(key, this.#share());
  }

  async #consumeShared(key: string): Promise<ClientVerdict> {
    const { requests } = this.#rate;
    const answer = await readCount(this.#within(this.#redis.consume(key)));
    if (answer.counted.consumedPoints >= requests) this.#boundBlocked();
    return verdictOf(answer, requests);
  }

  /** Forgets all who are remembered when they have become many: Redis still refuses them, at a command each. */
  #boundBlocked(): void {
    this.#blocked += 1;
    if (this.#blocked < MAX_BLOCKED) return;
    this.#blocked = 0;
    this.#redis.deleteInMemoryBlockedAll();
  }

  #share(): number {
    return Math.max(1, Math.floor(this.#rate.requests / Math.max(1, this.#options.replicas())));
  }

  #goAlone(key: string): void {
    if (this.#isAway || this.#isClosed) return;
    this.#isAway = true;
    this.#probeSoon(key);
  }

  #probeSoon(key: string): void {
    this.#cancelProbe = this.#clock.after(PROBE_MS, () => void this.#probe(key));
  }

  /** Looks at the key that could not be counted: in a Cluster, another one may lie on a node that is well. */
  async #probe(key: string): Promise<void> {
    try {
      await this.#within(this.#redis.get(key));
      this.#isAway = false;
    } catch {
      if (!this.#isClosed) this.#probeSoon(key);
    }
  }

  async #within<Answer>(asked: Promise<Answer>): Promise<Answer> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const giveUp = () => reject(new Error(`no answer of Redis in ${COMMAND_MS} ms`));
    // If it was this process that stood still, the answer lies in the socket, and is read before this turn is over.
    const cancel = this.#clock.after(COMMAND_MS, () => void setImmediate(giveUp));
    try {
      return await Promise.race([asked, late]);
    } finally {
      cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#cancelProbe();
    this.#connection.disconnect();
  }
}
