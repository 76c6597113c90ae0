/**
 * The innermost layer: what is told of each attempt, to whoever counts and to the trace of the request. It changes
 * nothing but the two fields by which the upstream can go on with the trace.
 */
import type { Clock } from '../clock.ts';
import type { Trace } from '../tracing/trace.ts';
import { isThrottled, saysRate } from './retry-table.ts';
import type { Layer, OutboundRequest, Outcome } from './send.ts';

/** How an attempt ended, in one word. `left`: its client went; `fault`: it could not be made, by our own fault. */
export type Ended =
  | 'answered'
  | 'throttled'
  | 'exhausted'
  | 'refused'
  | 'failed'
  | Extract<Outcome, { kind: 'failure' }>['cause']
  | 'left'
  | 'fault';

/** One attempt; `isOverRate`: the upstream refused it for the rate that all share. */
export type Attempted = {
  method: string;
  kind: string;
  outcome: Ended;
  status: number | undefined;
  isOverRate: boolean;
  durationMs: number;
};

/** Why a failed request was not tried again. */
export type GaveUp = 'attempts' | 'budget' | 'retry_after' | 'unsafe';

/** Who is told what happens on the way out. */
export type OutboundWatch = {
  attempted(attempt: Attempted): void;
  retried(after: Ended): void;
  gaveUp(reason: GaveUp): void;
  /** An attempt of this kind has waited so long for its slot. */
  waited(kind: string, waitedMs: number): void;
};

/** Tells nobody. */
export const UNWATCHED: OutboundWatch = { attempted() {}, retried() {}, gaveUp() {}, waited() {} };

/** Whether the upstream is sent the trace, and which server it is. */
export type WatchOptions = { propagate: boolean; url: string };

/** Tells of each attempt. */
export function withWatch({ propagate, url }: WatchOptions, watch: OutboundWatch, clock: Clock): Layer {
  const { hostname, port, protocol } = new URL(url);
  const server = {
    'server.address': hostname,
    'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
  };
  return (next) => async (request) => {
    const startedAt = clock.monotonic();
    const { method, trace, trail, turn, signal } = request;
    const step = trace?.step('attempt', {
      'http.request.method': method,
      'http.request.resend_count': trail.attempts === 0 ? undefined : trail.attempts,
      ...server,
    });
    const end = (outcome: Ended, status: number | undefined, isOverRate: boolean) => {
      const isError = outcome !== 'answered' && outcome !== 'left';
      step?.end({ 'http.response.status_code': status }, isError ? String(status ?? outcome) : undefined);
      watch.attempted({
        method,
        kind: turn.kind,
        outcome,
        status,
        isOverRate,
        durationMs: clock.monotonic() - startedAt,
      });
    };
    try {
      const outcome = await next(propagate && step ? withFields(request, step) : request);
      const ended = outcome.kind === 'failure' && signal.aborted ? 'left' : endOf(outcome);
      end(ended, outcome.kind === 'failure' ? undefined : outcome.status, isOverRate(request, outcome));
      return outcome;
    } catch (thrown) {
      end('fault', undefined, false);
      throw thrown;
    }
  };
}

const withFields = (request: OutboundRequest, { fields }: ReturnType<Trace['step']>): OutboundRequest => ({
  ...request,
  headers: { ...request.headers, ...fields },
});

/** How an attempt ended, in one word. */
export function endOf(outcome: Outcome): Ended {
  if (outcome.kind === 'answer') return 'answered';
  if (outcome.kind === 'failure') return outcome.cause;
  if (isThrottled(outcome)) return 'throttled';
  if (outcome.status === 429) return 'exhausted';
  return outcome.status >= 500 ? 'failed' : 'refused';
}

/** A 503 beside the files may mean that a path does not work; a 429 that says so means the rate wherever it is. */
const isOverRate = (request: OutboundRequest, outcome: Outcome): boolean =>
  isThrottled(outcome) && (saysRate(request) || (outcome.kind === 'refusal' && outcome.status === 429));
