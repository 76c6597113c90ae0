/**
 * A proxy in front of the upstream as one would build it with a limiter off the shelf: every request waits for that
 * limiter, and is tried again with backoff when it is refused. Only the limiter differs from rival to rival.
 *   node bench/quota/rival.ts LIMITER UPSTREAM-URL REDIS-URL
 */
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import Bottleneck from 'bottleneck';
import { Redis } from 'ioredis';
import { RateLimiterQueue, RateLimiterRedis } from 'rate-limiter-flexible';

type Answer = { status: number; body: Buffer };
/** Sends when the limiter says so. */
type Limiter = (send: () => Promise<Answer>) => Promise<Answer>;

const [name = 'none', upstreamUrl = '', redisUrl = ''] = process.argv.slice(2);
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 2000;
/** What a request waits before it asks a limiter again that has failed, as it does without its Redis. */
const LIMITER_FAILED_MS = 200;

const connect = () => {
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1, retryStrategy: () => 200 });
  // Failures are met where they are felt, by each request.
  redis.on('error', () => {});
  return redis;
};

const LIMITERS: Record<string, () => Limiter> = {
  none: () => (send) => send(),
  'rate-limiter-flexible': () => {
    const points = new RateLimiterRedis({ storeClient: connect(), keyPrefix: 'rival', points: 30, duration: 1 });
    const queue = new RateLimiterQueue(points, { maxQueueSize: 100_000 });
    return async (send) => {
      await queue.removeTokens(1);
      return send();
    };
  },
  bottleneck: () => {
    const limiter = new Bottleneck({
      id: 'egress',
      datastore: 'ioredis',
      Redis,
      clientOptions: { host: new URL(redisUrl).hostname, port: Number(new URL(redisUrl).port) },
      clearDatastore: false,
      minTime: 34,
    });
    limiter.on('error', () => {});
    return (send) => limiter.schedule(send);
  },
};

const agent = new Agent({ keepAlive: true, maxSockets: 1000 });

async function ask(path: string, signal: AbortSignal): Promise<Answer> {
  signal.throwIfAborted();
  const outgoing = get(upstreamUrl + path, { agent, signal });
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, body: await buffer(answer) };
}

const limited = LIMITERS[name]?.();
if (!limited) throw new Error(`there is no limiter ${name}`);

async function serve(path: string, signal: AbortSignal): Promise<Answer> {
  for (let refusals = 0; ;) {
    let hasSent = false;
    const send = () => {
      hasSent = true;
      return ask(path, signal);
    };
    try {
      const answer = await limited!(send);
      if (answer.status !== 503) return answer;
      await sleep(Math.min(FIRST_BACKOFF_MS * 2 ** refusals, LONGEST_BACKOFF_MS) * (1 - Math.random() / 2), undefined, {
        signal,
      });
      refusals += 1;
    } catch (error) {
      if (hasSent || signal.aborted) throw error;
      await sleep(LIMITER_FAILED_MS, undefined, { signal });
    }
  }
}

const server = createServer((req, res) => {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  serve(req.url ?? '/', gone.signal).then(
    ({ status, body }) => res.writeHead(status).end(body),
    () => (gone.signal.aborted ? res.destroy() : res.writeHead(502).end()),
  );
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
