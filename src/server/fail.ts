import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import { type ErrorCode, type GatewayError, KINDS } from '../errors.ts';
import { type Dialect, speak } from './dialect.ts';
import { discardRest, type DiscardLimits, hasUnreadBody } from './discard.ts';
import { expectsContinue } from './edge.ts';
import type { Exchange } from './exchange.ts';
import { proxyStatus } from './told.ts';

/** An error's body in the shape that Easemob's servers use and its SDKs read; never `entities`, which SDKs take for a success. */
export function errorBody(
  { code, detail }: { code: ErrorCode; detail?: string | undefined },
  startedAt: number,
  now: number,
): string {
  const { error, exception, message } = KINDS[code];
  return JSON.stringify({
    error,
    exception,
    timestamp: startedAt,
    duration: Math.max(0, now - startedAt),
    error_description: detail === undefined ? message : `${message} (${detail})`,
  });
}

/** Answers with an error, the only place that does; cuts the connection when an answer has already begun. */
export function fail(
  error: GatewayError,
  req: IncomingMessage,
  res: ServerResponse,
  exchange: Exchange,
  deps: { clock: Clock; discard: DiscardLimits; compat: Dialect },
): void {
  if (res.destroyed || res.writableFinished) return;
  // Also when it was ended: its last bytes may wait for a client that does not read.
  if (res.headersSent) {
    // A client of HTTP/1.0 takes an orderly end of the connection for the end of the body.
    if (req.httpVersion === '1.0') res.socket?.resetAndDestroy();
    res.destroy();
    return;
  }
  const spoken = speak(error, deps.compat);
  const body = errorBody({ ...spoken, detail: error.detail }, exchange.startedAt, deps.clock.now());
  res.statusCode = spoken.status;
  res.setHeader('Content-Type', 'application/json');
  res.setHeader('Content-Length', Buffer.byteLength(body));
  res.setHeader('Cache-Control', 'no-store');
  if (error.retryAfterMs !== undefined) res.setHeader('Retry-After', Math.max(1, Math.ceil(error.retryAfterMs / 1000)));
  const status = proxyStatus(error, exchange);
  if (status !== undefined) res.setHeader('Proxy-Status', status);
  if (exchange.allow !== undefined) res.setHeader('Allow', exchange.allow);

  if (!hasUnreadBody(req)) {
    res.end(body);
    return;
  }
  // Node would close the socket as soon as the answer is complete, and the client, still sending, would meet a reset
  // instead of the answer. So the answer goes out whole, but is ended only when the rest of the body was discarded.
  res.setHeader('Connection', 'close');
  if (req.method !== 'HEAD') res.write(body);
  else res.flushHeaders();
  discardRest(req, { ...deps.discard, isAwaited: !expectsContinue(req) }, deps.clock, () => res.end());
}
