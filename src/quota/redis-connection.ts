import { Cluster, Redis, type RedisOptions } from 'ioredis';

/** A connection to Redis, standalone, behind Sentinels or a Cluster: what the account of slots uses of it. */
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

/**
 * Connects by URL, in the background:
 *   redis://[user:password@]host[:port][/database]                         (rediss: over TLS)
 *   redis+sentinel://[user:password@]host:port,host:port/master[/database] (rediss+sentinel)
 *   redis+cluster://[user:password@]host:port,host:port                    (rediss+cluster)
 * `onDown` is called, with what is known of the reason, each time the connection is lost or cannot be made. A command
 * that is not answered within `commandTimeout` ms fails.
 */
export function connectRedis(
  url: string,
  onDown: (reason: Error | undefined) => void,
  commandTimeout = COMMAND_TIMEOUT_MS,
): RedisConnection {
  const redis = open(readRedisUrl(url), commandTimeout);
  let reason: Error | undefined;
  // Without a listener, an error of the connection would end the process.
  redis.on('error', (error: Error) => {
    reason = error;
  });
  redis.on('close', () => onDown(reason));
  redis.on('ready', () => {
    reason = undefined;
  });
  return redis;
}

/** The parts of a Redis URL. */
export type RedisUrl = {
  form: 'standalone' | 'sentinel' | 'cluster';
  nodes: { host: string; port: number }[];
  master: string | undefined;
  options: { username?: string; password?: string; tls?: Record<string, never>; db?: number };
};

/** Reads a URL of any of the forms; undefined when it is none. */
export function parseRedisUrl(url: string): RedisUrl | undefined {
  const parts = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^/?#]+)((?:\/[^/?#]*)*)$/.exec(url);
  if (!parts) return undefined;
  const [, scheme, form = 'standalone', userInfo, hosts = '', path = ''] = parts;
  const defaultPort = form === 'sentinel' ? 26_379 : 6379;
  const nodes = hosts.split(',').map((host) => URL.parse(`redis://${host}`));
  if (nodes.some((node) => !node?.hostname)) return undefined;
  const segments = path.split('/').filter((segment) => segment !== '');
  const master = form === 'sentinel' ? segments.shift() : undefined;
  const [database] = segments;
  if (form === 'sentinel' && master === undefined) return undefined;
  if (segments.length > 1 || (database !== undefined && !/^\d{1,4}$/.test(database))) return undefined;
  if (form === 'standalone' && nodes.length !== 1) return undefined;
  // A Cluster has one database.
  if (form === 'cluster' && database !== undefined) return undefined;
  const user = readUserInfo(userInfo ?? '');
  if (!user) return undefined;
  return {
    form: form as RedisUrl['form'],
    nodes: nodes.map((node) => ({
      host: node?.hostname.replace(/^\[|\]$/g, '') ?? '',
      port: Number(node?.port) || defaultPort,
    })),
    master,
    options: {
      ...user,
      ...(scheme === 'rediss' ? { tls: {} } : {}),
      ...(database === undefined ? {} : { db: Number(database) }),
    },
  };
}

/** `user:password`, each percent-encoded; only the first colon divides. */
function readUserInfo(text: string): { username?: string; password?: string } | undefined {
  const colon = text.indexOf(':');
  try {
    const username = decodeURIComponent(colon === -1 ? text : text.slice(0, colon));
    const password = colon === -1 ? '' : decodeURIComponent(text.slice(colon + 1));
    return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) };
  } catch {
    return undefined;
  }
}

function readRedisUrl(url: string): RedisUrl {
  const parsed = parseRedisUrl(url);
  if (!parsed) throw new TypeError('redis.url is not a Redis URL');
  return parsed;
}

function open({ form, nodes, master, options }: RedisUrl, commandTimeout: number): RedisConnection {
  const all = { ...OPTIONS, ...options, commandTimeout };
  switch (form) {
    case 'standalone':
      return new Redis({ ...all, ...nodes[0] });
    case 'sentinel':
      return new Redis({
        ...all,
        sentinels: nodes,
        ...(master === undefined ? {} : { name: master }),
        sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
        sentinelRetryStrategy: () => 200,
        // The master of before is told of a failover up to ten seconds late, and takes writes until then.
        failoverDetector: true,
        ...(options.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
      });
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
