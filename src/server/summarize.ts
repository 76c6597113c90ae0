import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ErrorCode, isDenial, KINDS } from '../errors.ts';
import type { Exchange, Route } from './exchange.ts';

/** What is recorded of one exchange: the one line that the log gets. Holds nothing that a client can fill with a secret. */
export type Summary = {
  id: string;
  /** The trace that the request belongs to; nothing could be read of one that has none. */
  traceId: string | undefined;
  method: string;
  route: Route;
  /** `org/app`, or "other" where that is not a plausible name. */
  app: string | undefined;
  client: string;
  /** Who the client is by its certificate: a name and the start of a digest. */
  clientCert?: string | undefined;
  status: number;
  /** Whether this gateway's own policies let it go, whatever Easemob then said; and why. */
  decision: 'allow' | 'deny';
  decisionReason: DecisionReason;
  /** The kind of failure, whose fault it was and why; absent when nothing failed. */
  error: string | undefined;
  source: string | undefined;
  reason: string | undefined;
  cause: string | undefined;
  /** The code of the policy that would have denied it, were it not set to report; and why. */
  wouldDeny: string | undefined;
  wouldDenyReason: string | undefined;
  upstreamStatus: number | undefined;
  /** `memory`, `disk`, `grace`, or why the upstream was asked: `uri-miss`, `request`, `bypass`. */
  cache: string | undefined;
  attempts: number;
  queuedMs: number;
  upstreamMs: number;
  scan: string | undefined;
  scanMs: number | undefined;
  durationMs: number;
  bytesIn: number;
  bytesOut: number;
};

/**
 * Why: the code of what denied it, or of what befell one that was allowed; else who answered. A closed set. `client`: it
 * left before that was clear.
 */
export type DecisionReason = ErrorCode | 'cache' | 'upstream' | 'preflight' | 'client';

/** What a request that ended so was decided to be; `cache`: what became of it there. */
export function decisionOf(
  error: ErrorCode | undefined,
  { route, cache = '' }: Pick<Exchange, 'route' | 'cache'>,
): { decision: 'allow' | 'deny'; decisionReason: DecisionReason } {
  if (error !== undefined && isDenial(error)) return { decision: 'deny', decisionReason: error };
  if (error === 'CLIENT_GONE') return { decision: 'allow', decisionReason: 'client' };
  if (error !== undefined && KINDS[error].source !== 'upstream') return { decision: 'allow', decisionReason: error };
  if (route === 'preflight') return { decision: 'allow', decisionReason: 'preflight' };
  return { decision: 'allow', decisionReason: cache.includes('; hit') ? 'cache' : 'upstream' };
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']);
// Real names are short; what is long may be a token that somebody put into the path.
const PLAUSIBLE_NAME = /^[^/]{1,36}\/[^/]{1,36}$/;

/** Makes the record of an exchange at its end. */
export function summarize(req: IncomingMessage, res: ServerResponse, exchange: Exchange, now: number): Summary {
  const { error, trail, wouldDeny } = exchange;
  return {
    id: exchange.id,
    traceId: exchange.trace.traceId,
    method: METHODS.has(req.method ?? '') ? (req.method ?? '') : 'other',
    route: exchange.route,
    app: exchange.app === undefined || PLAUSIBLE_NAME.test(exchange.app) ? exchange.app : 'other',
    client: exchange.client,
    clientCert: exchange.clientCert,
    // A client that left got no status at all; 499 says so.
    status: error?.code === 'CLIENT_GONE' ? error.status : res.statusCode,
    ...decisionOf(error?.code, exchange),
    error: error?.code,
    source: error && KINDS[error.code].source,
    reason: error?.reason,
    cause: error?.cause instanceof Error ? error.cause.message : undefined,
    wouldDeny: wouldDeny?.code,
    wouldDenyReason: wouldDeny?.reason,
    upstreamStatus: exchange.upstreamStatus,
    cache: exchange.cache,
    attempts: trail.attempts,
    queuedMs: Math.round(trail.queuedMs),
    upstreamMs: Math.round(trail.upstreamMs),
    scan: exchange.scan?.verdict,
    scanMs: exchange.scan && Math.round(exchange.scan.ms),
    durationMs: now - exchange.startedAt,
    bytesIn: exchange.bytesIn,
    bytesOut: exchange.bytesOut,
  };
}
