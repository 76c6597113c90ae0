import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Arrivals } from './arrivals.ts';
import { corsHeaders } from './cors.ts';
import { deliver, pause } from './deliver.ts';
import { REFUSALS } from './errors.ts';
import type { Answer, Exchange, Handler } from './exchange.ts';
import type { Faults } from './faults.ts';
import { refusalAnswer, thrownAnswer } from './json-answer.ts';
import { asScript } from './jsonp.ts';
import type { Admission, LimitedInterface, Limiter } from './limiter.ts';
import { play } from './play.ts';
import type { Interface, Received, ReceivedRecord } from './record.ts';
import { appTargetOf, interfaceOf, parseTarget } from './target.ts';
import type { EmulatorOptions } from './options.ts';

/** What the frame around every request needs. */
export type ServeDeps = {
  handler: Handler;
  limiter: Limiter;
  faults: Faults;
  record: ReceivedRecord;
  arrivals: Arrivals;
  options: Pick<EmulatorOptions, 'thumbnailBy' | 'now'>;
};

/** Takes one request from its arrival to its end; never fails. */
export type Serve = (req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean) => Promise<void>;

const isLimited = (wanted: Interface): wanted is LimitedInterface =>
  wanted === 'upload' || wanted === 'download' || wanted === 'thumbnail';

/** The life of a request: it is recorded, met by the limiter, then by a fault if one waits for it, and handled. */
export function createServe({ handler, limiter, faults, record, arrivals, options }: ServeDeps): Serve {
  const { now, thumbnailBy } = options;
  const busy = new WeakSet<Socket>();

  const open = (req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean): Exchange => {
    const at = now();
    const target = parseTarget(req.url ?? '/');
    const method = req.method ?? 'GET';
    const received: Received = record.add({
      at,
      method,
      path: req.url ?? '/',
      headers: headerPairs(req.rawHeaders),
      remoteAddress: req.socket.remoteAddress ?? '',
      remotePort: req.socket.remotePort ?? 0,
      interface: interfaceOf(method, target, req.headers, thumbnailBy),
      limited: false,
      outcome: 'pending',
      bytesIn: 0,
      bytesOut: 0,
    });
    const gone = new AbortController();
    busy.add(req.socket);
    res.once('finish', () => (received.outcome = 'answered'));
    res.once('close', () => {
      if (received.outcome === 'pending') received.outcome = 'broken-off';
      received.durationMs = now() - at;
      busy.delete(req.socket);
      gone.abort();
    });
    // A client that leaves is no fault of ours; it is seen by `gone`.
    req.on('error', () => {});
    res.on('error', () => {});
    return { req, res, target, received, gone: gone.signal, awaitsContinue };
  };

  const admit = ({ received, target }: Exchange): Admission => {
    if (!isLimited(received.interface)) return { accepted: true };
    const within = appTargetOf(target);
    const app = within && `${within.org}/${within.app}`;
    const admission = limiter.admit(received.remoteAddress, received.interface, app);
    arrivals.note(received.interface, admission.accepted, received.at);
    received.limited = !admission.accepted;
    return admission;
  };

  const work = async (exchange: Exchange): Promise<Answer> => {
    const { headers } = exchange.req;
    let answer: Answer;
    try {
      answer = await handler(exchange);
    } catch (thrown) {
      answer = thrownAnswer(exchange, thrown, now());
    }
    Object.assign(answer.headers, corsHeaders(headers));
    return asScript(answer, exchange.target.query.get('callback'));
  };

  const closeIdle = ({ req, res }: Exchange, keepAliveMs: number): void => {
    res.once('close', () => {
      setTimeout(() => busy.has(req.socket) || req.socket.destroy(), keepAliveMs).unref();
    });
  };

  return async (req, res, awaitsContinue) => {
    const exchange = open(req, res, awaitsContinue);
    try {
      const admission = admit(exchange);
      if (!admission.accepted) return await deliver(exchange, limitedAnswer(exchange, limiter, admission, now()));
      const plan = faults.plan(exchange.received.method, exchange.received.interface);
      if (plan.kind !== undefined) exchange.received.fault = plan.kind;
      if (plan.keepAliveMs !== undefined) closeIdle(exchange, plan.keepAliveMs);
      await pause(plan.delayMs, exchange);
      if (plan.fault !== undefined) return await play(exchange, plan.fault, () => work(exchange), now());
      return await deliver(exchange, await work(exchange));
    } catch {
      // Only a broken connection or a file that vanished under an answer gets here; the client must not wait for more.
      res.destroy();
    }
  };
}

function headerPairs(raw: string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) pairs.push([raw[index] ?? '', raw[index + 1] ?? '']);
  return pairs;
}

/** Stands before the API: it has the cloud's error shape, but knows neither CORS nor callbacks. */
function limitedAnswer(
  exchange: Exchange,
  { options: { status, retryAfter } }: Limiter,
  { retryAfterMs }: Extract<Admission, { accepted: false }>,
  nowMs: number,
): Answer {
  const refusal = status === 429 ? REFUSALS.REACH_LIMIT : REFUSALS.UNAVAILABLE;
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  const value = retryAfter === 'date' ? new Date(nowMs + seconds * 1000).toUTCString() : String(seconds);
  return refusalAnswer(exchange, refusal, nowMs, retryAfter === 'none' ? {} : { 'retry-after': value });
}
