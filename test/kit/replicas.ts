import { Redis } from 'ioredis';
import { loadConfig } from '../../src/config.ts';
import { createGateway, type Gateway } from '../../src/gateway.ts';
import type { TestRedis } from './redis.ts';

/** What replicas share: a Redis, an upstream, and a name that keeps them apart from those of other tests. */
export type Egress = { redis: TestRedis; upstreamUrl: string; id: string };

/** Several gateways in this process that share one quota, and what they told their operator. */
export type Replicas = AsyncDisposable & { urls: string[]; notices: string[] };

/** The keys with which a gateway joins an egress. */
export const keysOf = ({ redis, upstreamUrl, id }: Egress): string[] => [
  'listen.port=0',
  'admin.port=0',
  `upstream.url=${upstreamUrl}`,
  `redis.url=${redis.url}`,
  // A prefix rather than an egress of its own: the limit of each client counts over all egresses.
  `redis.keyPrefix=${id}:`,
];

/** Starts so many gateways. */
export async function startReplicas(count: number, egress: Egress): Promise<Replicas> {
  await using opening = new AsyncDisposableStack();
  const notices: string[] = [];
  const gateways: Gateway[] = [];
  for (let started = 0; started < count; started += 1) {
    const { config } = await loadConfig({ env: {}, set: keysOf(egress) });
    const notice = (_level: string, message: string) => void notices.push(message);
    gateways.push(opening.use(await createGateway(config, { notice })));
  }
  const open = opening.move();
  return { urls: gateways.map(({ url }) => url), notices, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** The times of all slots that an egress has had lately, in ms of Redis's clock and in order. */
export async function grantsOf({ redis: { port }, id }: Egress): Promise<number[]> {
  const redis = new Redis({ port });
  try {
    const entries: string[] = await redis.zrange(`${id}:v2:{default}:slots:egress`, 0, '-1', 'WITHSCORES');
    return entries.filter((_, index) => index % 2 === 1).map((score) => Number(score));
  } finally {
    redis.disconnect();
  }
}

/** The most of these times that lie within any window of so many ms, wherever it begins. */
export function mostWithin(windowMs: number, times: readonly number[]): number {
  const counts = times.map((from) => times.filter((time) => time >= from && time < from + windowMs).length);
  return Math.max(0, ...counts);
}
