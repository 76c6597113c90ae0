import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Tracing } from '../tracing/trace.ts';
import { addressOf, type Trusts } from './client.ts';
import { clientCertOf } from './client-certificate.ts';
import type { Dialect } from './dialect.ts';
import type { DiscardLimits } from './discard.ts';
import { signalOf } from './edge.ts';
import type { Exchange } from './exchange.ts';
import { fail } from './fail.ts';
import type { Witness } from './movement.ts';
import { summarize, type Summary } from './summarize.ts';

/** A request's phases in order; whatever it throws ends the exchange with the one error answer. */
export type Handler = (req: Request, res: Response, exchange: Exchange) => Promise<void> | void;

/** What the frame needs: the time, somewhere to put the summary, traces and bounds for bodies it refuses. */
export type ServeDeps = {
  clock: Clock;
  record: (summary: Summary) => void;
  tracing: Pick<Tracing, 'begin'>;
  witness: Witness;
  discard: DiscardLimits;
  compat: Dialect;
};

/** The frame around every handler: one way to fail, and one record at the end, however it ended. */
export const serve =
  (deps: ServeDeps, handler: Handler): RequestHandler =>
  async (req, res) => {
    const id = randomUUID();
    const exchange: Exchange = {
      id,
      startedAt: deps.clock.now(),
      signal: signalOf(req),
      client: addressOf(req, req.app.get('trust proxy fn') as Trusts),
      clientCert: clientCertOf(req.socket),
      trail: { attempts: 0, queuedMs: 0, upstreamMs: 0 },
      trace: deps.tracing.begin(req.headers, id),
      route: 'other',
      bytesIn: 0,
      bytesOut: 0,
    };
    res.setHeader('X-Request-Id', exchange.id);
    try {
      await handler(req, res, exchange);
    } catch (thrown) {
      // What kept the request from being read says more than what the phases made of its end.
      const broken: unknown = exchange.signal.reason;
      exchange.error = GatewayError.from(broken instanceof GatewayError ? honest(broken, req, exchange) : thrown);
      fail(exchange.error, req, res, exchange, deps);
    } finally {
      const summary = summarize(req, res, exchange, deps.clock.now());
      exchange.trace.end(summary);
      deps.record(summary);
      deps.witness.end(req, exchange, summary);
    }
  };

const REPEATABLE = new Set(['GET', 'HEAD']);

/** Who is told to come back must not find done what it was told was not: what went upstream may have been. */
function honest(broken: GatewayError, { method }: Request, { trail }: Exchange): GatewayError {
  if (broken.code !== 'DRAINING' || trail.attempts === 0 || REPEATABLE.has(method)) return broken;
  return new GatewayError('UPSTREAM_TIMEOUT', { reason: 'no answer before the end of the drain' });
}
