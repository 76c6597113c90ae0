/**
 * The upstream of the bench, a process of its own: it meets each request after the network's delay, decides by one of
 * the emulator's limiters, and answers a little later. The emulator itself decides at once, so that nothing on the way
 * to it would ever be uneven. `PUT /-/settings` changes what is given, `GET /-/arrivals` hands over what has arrived.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import type { AddressInfo } from 'node:net';
import { createLimiter, type LimiterOptions } from '../../src/emulator/limiter.ts';
import { type Arrival, clientOf, nowMs } from './arrival.ts';

/** What the bench may set: the limiter, the network's unevenness, and for how long everything is refused from now on. */
export type UpstreamSettings = { limiter?: Partial<LimiterOptions>; jitterMs?: number; awayMs?: number };

/** The part of the network's delay that is always the same, and how long an answer takes; in ms. */
const NETWORK_MS = 5;
const WORK_MS = { least: 10, most: 50 };

const limiter = createLimiter({}, nowMs);
let jitterMs = 0;
let awayUntil = 0;
let arrivals: Arrival[] = [];

const REFUSAL = JSON.stringify({ error: 'service_unavailable', exception: '', timestamp: 0, duration: 0 });

function decide(req: IncomingMessage, res: ServerResponse): void {
  const at = nowMs();
  const accepted = limiter.admit('egress', 'download').accepted && at >= awayUntil;
  arrivals.push({ at, accepted, client: clientOf(req.url ?? '') });
  setTimeout(
    () => {
      if (accepted) res.writeHead(200, { 'content-type': 'application/octet-stream' }).end('a small file');
      else res.writeHead(503, { 'content-type': 'application/json' }).end(REFUSAL);
    },
    WORK_MS.least + Math.random() * (WORK_MS.most - WORK_MS.least),
  );
}

async function control(req: IncomingMessage, res: ServerResponse): Promise<void> {
  if (req.method === 'PUT') {
    const settings = (await json(req)) as UpstreamSettings;
    if (settings.limiter) limiter.set(settings.limiter);
    if (settings.jitterMs !== undefined) ({ jitterMs } = settings);
    if (settings.awayMs !== undefined) awayUntil = nowMs() + settings.awayMs;
    res.end('{}');
  } else {
    res.end(JSON.stringify(arrivals));
    arrivals = [];
  }
}

const server = createServer((req, res) => {
  // Clients of the bench leave in the middle.
  res.on('error', () => {});
  if (req.url?.startsWith('/-/')) void control(req, res);
  else setTimeout(() => decide(req, res), NETWORK_MS + Math.random() * jitterMs);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
