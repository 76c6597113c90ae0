import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisWatch } from './config.ts';
import { nameOf, whyOutOfReach } from './reach.ts';
import { readRedisUrl, type RedisUrl } from './url.ts';

/** A connection to Redis, standalone, behind Sentinels or a Cluster: what the rooms above use of it. */
export type RedisConnection = Redis | Cluster;

/** How long a command may take, in ms: after that Redis counts as away. */
export const COMMAND_TIMEOUT_MS = 250;

/**
 * The options of a connection that must tell at once when Redis is away: nothing is queued while it is not there, and
 * nothing that was sent is ever sent again, since a reservation that arrives late or twice takes slots from others.
 */
const OPTIONS = {
  // A peer that vanished without a word would otherwise be waited for until the kernel gives up, a quarter of an hour.
  socketTimeout: 1000,
  connectTimeout: 2000,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  retryStrategy: (times: number) => Math.min(50 * times, 200),
  // After a failover this connection may lead to what is now a replica: connect anew, to find the master.
  reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
} satisfies RedisOptions;

/** How a connection came to be down, for each that is open. */
const troubles = new WeakMap<RedisConnection, Trouble>();

/**
 * Connects by URL, in the background. `onDown` is called each time the connection is lost or cannot be made; `whyAway`
 * tells the reason. A command that is not answered within `commandTimeout` ms fails.
 */
export function connectRedis(
  url: string,
  onDown: (reason: Error) => void = () => {},
  commandTimeout = COMMAND_TIMEOUT_MS,
): RedisConnection {
  const parts = partsOf(url);
  const redis = open(parts, commandTimeout);
  const trouble = new Trouble(parts);
  troubles.set(redis, trouble);
  // Without a listener, an error of the connection would end the process.
  redis.on('error', (error: Error) => trouble.note(error));
  redis.on('node error', (error: Error) => trouble.note(error));
  redis.on('close', () => {
    trouble.down();
    onDown(new Error(trouble.reason));
  });
  redis.on('ready', () => trouble.ready());
  return redis;
}

/** Tells of a connection and of the time that each of its commands takes, answered or not. */
export function watchRedis(redis: RedisConnection, use: string, watch: RedisWatch | undefined): void {
  if (!watch) return;
  const took = watch.opened(use, () => redis.status === 'ready');
  const send = redis.sendCommand.bind(redis) as (...args: unknown[]) => unknown;
  redis.sendCommand = (...args: unknown[]) => {
    const sentAt = performance.now();
    const answer = send(...args);
    const end = () => took(performance.now() - sentAt);
    Promise.resolve(answer).then(end, end);
    return answer;
  };
}

/** Why a command failed, or Redis is away, for the log: names the server and the cause, and never holds a secret. */
export function whyAway(redis: RedisConnection, error: unknown): string {
  const trouble = troubles.get(redis);
  const text = error instanceof Error ? error.message : String(error);
  // A command may find the socket broken before the connection is told to be down.
  const isDown = redis.status !== 'ready' || /enableOfflineQueue|connection is closed/i.test(text);
  if (trouble && isDown) return trouble.reason;
  return text === 'Command timed out' && trouble ? `no answer of ${trouble.place} in time` : text;
}

/** What is known of why a connection is down. */
class Trouble {
  readonly place: string;
  readonly #nodes: RedisUrl['nodes'];
  #wasReady = false;
  #isUp = false;
  #known: string | undefined;
  #isLooking = false;

  constructor({ nodes }: RedisUrl) {
    this.#nodes = nodes;
    this.place = nodes.map(nameOf).join(', ');
  }

  get reason(): string {
    return this.#known ?? `${this.#wasReady ? 'lost the' : 'no'} connection to ${this.place}`;
  }

  ready(): void {
    this.#wasReady = true;
    this.#isUp = true;
    this.#known = undefined;
  }

  down(): void {
    this.#isUp = false;
    void this.look();
  }

  /** Takes an error's message alone: what else an error of Redis carries includes the password of the command. */
  note(error: NodeJS.ErrnoException & { lastNodeError?: Error }): void {
    const told = error.lastNodeError ?? error;
    if (told.message === '' || /connection is closed|slots cache/i.test(told.message)) {
      void this.look();
    } else if (error.code !== undefined) {
      const hasPlace = this.#nodes.some((node) => error.message.includes(nameOf(node)));
      this.#known = hasPlace ? error.message : `${error.message} (${this.place})`;
    } else {
      this.#known = `${told.message} (${this.place})`;
    }
  }

  /** Finds out what the clients of a Cluster and of Sentinels keep to themselves. */
  async look(): Promise<void> {
    if (this.#known !== undefined || this.#isLooking) return;
    this.#isLooking = true;
    const why = await whyOutOfReach(this.#nodes);
    this.#isLooking = false;
    // It may be back meanwhile, and the next loss has another reason.
    if (!this.#isUp) this.#known ??= why;
  }
}

/** The parts of a URL that was checked before. */
export function partsOf(url: string): RedisUrl {
  const parts = readRedisUrl(url);
  if ('problem' in parts) throw new TypeError(`redis.url ${parts.problem}`);
  return parts;
}

function open({ form, nodes, master, options }: RedisUrl, commandTimeout: number): RedisConnection {
  const all = { ...OPTIONS, ...options, commandTimeout };
  switch (form) {
    case 'standalone':
      return new Redis({ ...all, ...nodes[0] });
    case 'sentinel':
      return new Redis({ ...all, ...sentinelOptions(nodes, master, options) });
    case 'cluster':
      return new Cluster(nodes, {
        redisOptions: {
          ...options,
          commandTimeout,
          socketTimeout: OPTIONS.socketTimeout,
          maxRetriesPerRequest: 0,
        },
        enableOfflineQueue: false,
        clusterRetryStrategy: () => 200,
        // A moved slot is followed once; anything longer is for the local share to bridge.
        maxRedirections: 3,
        retryDelayOnFailover: 50,
      });
  }
}

const sentinelOptions = (sentinels: RedisUrl['nodes'], master: string | undefined, { tls }: RedisUrl['options']) => ({
  sentinels,
  ...(master === undefined ? {} : { name: master }),
  sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
  sentinelRetryStrategy: () => 200,
  // The master of before is told of a failover up to ten seconds late, and takes writes until then.
  failoverDetector: true,
  ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
});

/** The options of a connection that only hears: it ends when it is lost, and never times out while nothing is said. */
export function subscriberOptions({ form, nodes, master, options }: RedisUrl, attempt: number) {
  const { connectTimeout, enableOfflineQueue } = OPTIONS;
  const once = {
    ...options,
    connectTimeout,
    enableOfflineQueue,
    commandTimeout: connectTimeout,
    retryStrategy: () => null,
    autoResubscribe: false,
  };
  if (form !== 'sentinel') return { ...once, ...nodes[attempt % nodes.length] };
  return { ...once, ...sentinelOptions(nodes, master, options), sentinelRetryStrategy: () => null };
}
