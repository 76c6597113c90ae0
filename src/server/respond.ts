import type { Request, Response } from 'express';
import type { Clock } from '../clock.ts';
import type { Access, Asked } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import { type ErrorCode, GatewayError } from '../errors.ts';
import { isFileType } from '../policy/file-type.ts';
import { answerHeaders } from '../upstream/headers.ts';
import { readRetryAfterMs } from '../upstream/retry-after.ts';
import { isThrottled } from '../upstream/retry-table.ts';
import type { Outcome } from '../upstream/send.ts';
import { skip } from '../upstream/skip.ts';
import type { Exchange } from './exchange.ts';
import { type Dialect, statusIn } from './dialect.ts';
import { passRedirect, type PassRules } from './pass-redirect.ts';
import { seeAnswer } from './movement.ts';
import { relay, type RelayLimits } from './relay.ts';
import { serverTiming } from './told.ts';

/** What a response needs: the time, the bounds of a body that streams through, and how refusals and redirects are told. */
export type RespondDeps = {
  clock: Clock;
  answer: RelayLimits;
  tell: { serverTiming: boolean };
  redirects: PassRules;
  compat: Dialect;
};

/** An answer to a request for a file, or the lack of one; and who asked for it, with what, when. */
export type FileOutcome = { outcome: Outcome; sentAt: number; bearer: Bearer; asked: Asked };

/** The last phase of a download: the answer goes to the client, and once it was a whole file, its bearer is believed. */
export async function respondWithFile(
  { outcome, sentAt, bearer, asked }: FileOutcome,
  req: Request,
  res: Response,
  exchange: Exchange,
  deps: RespondDeps & { access: Pick<Access, 'learnAnswer'> },
): Promise<void> {
  await respond(outcome, req, res, exchange, deps);
  if (outcome.kind !== 'answer' || req.method !== 'GET' || (outcome.status !== 200 && outcome.status !== 206)) return;
  // What was taken in whole, and is none the less handed on as it came, was not what it says.
  if (outcome.whole !== undefined || !isFileType(outcome.headers['content-type'])) return;
  deps.access.learnAnswer(bearer, asked.file, asked.secret, sentAt);
}

/** The time to come back when the upstream is throttled and does not name one, in ms. */
const THROTTLED_MS = 1000;

/** The last phase: what the upstream said becomes the client's answer, or the error that it stands for. */
export async function respond(
  outcome: Outcome,
  req: Request,
  res: Response,
  exchange: Exchange,
  deps: RespondDeps,
): Promise<void> {
  if (outcome.kind !== 'failure') exchange.upstreamStatus = outcome.status;
  if (deps.tell.serverTiming)
    res.setHeader('Server-Timing', serverTiming({ ...exchange.trail, scanMs: exchange.scan?.ms }));
  switch (outcome.kind) {
    case 'failure':
      exchange.failure = { sent: outcome.sent };
      throw errorOfFailure(outcome, exchange);
    case 'refusal':
      return passRefusal(outcome, req, res, exchange, deps);
    case 'answer':
      return passAnswer(outcome, req, res, exchange, deps);
  }
}

const FAILURES = {
  unreachable: 'UPSTREAM_UNREACHABLE',
  reset: 'UPSTREAM_BROKEN',
  broken: 'UPSTREAM_BROKEN',
  timeout: 'UPSTREAM_TIMEOUT',
} as const;

function errorOfFailure(outcome: Extract<Outcome, { kind: 'failure' }>, exchange: Exchange): GatewayError {
  if (exchange.signal.aborted) return new GatewayError('CLIENT_GONE', { reason: 'left while the upstream was asked' });
  const reason = `${outcome.cause}, sent: ${outcome.sent}${outcome.reused ? ', on a kept-alive connection' : ''}`;
  return new GatewayError(FAILURES[outcome.cause], { reason, cause: outcome.error });
}

/** Statuses for which we have the better word when the upstream, or a hop before it, did not answer in JSON. */
const OWN_WORDS: Partial<Record<number, ErrorCode>> = {
  413: 'BODY_TOO_LARGE',
  415: 'MEDIA_UNSUPPORTED',
  416: 'RANGE_UNSATISFIABLE',
  500: 'UPSTREAM_BROKEN',
  502: 'UPSTREAM_BROKEN',
  504: 'UPSTREAM_TIMEOUT',
};

function passRefusal(
  outcome: Extract<Outcome, { kind: 'refusal' }>,
  req: Request,
  res: Response,
  exchange: Exchange,
  { clock, compat }: RespondDeps,
): void {
  const retryAfterMs = readRetryAfterMs(outcome.headers, clock.now());
  if (isThrottled(outcome))
    throw new GatewayError('UPSTREAM_THROTTLED', { retryAfterMs: retryAfterMs ?? THROTTLED_MS });
  const range = outcome.headers['content-range'];
  // What a 416 is there to tell: how long the file is (RFC 9110 section 15.5.17).
  if (outcome.status === 416 && range !== undefined) res.setHeader('Content-Range', range);
  if (outcome.body.length === 0) {
    const code = OWN_WORDS[outcome.status];
    if (code) throw new GatewayError(code, { reason: `the upstream answered ${outcome.status} without JSON` });
    throw new GatewayError('UPSTREAM_REFUSED', { status: outcome.status, retryAfterMs });
  }
  res.statusCode = statusIn(outcome.status, compat);
  if (outcome.status >= 500) res.setHeader('Proxy-Status', `chatfiles-gateway; received-status=${outcome.status}`);
  res.setHeader('Content-Type', 'application/json');
  res.setHeader('Content-Length', outcome.body.length);
  res.setHeader('Cache-Control', 'no-store');
  if (retryAfterMs !== undefined) res.setHeader('Retry-After', Math.ceil(retryAfterMs / 1000));
  if (req.method !== 'HEAD') exchange.bytesOut = outcome.body.length;
  res.end(outcome.body);
}

async function passAnswer(
  outcome: Extract<Outcome, { kind: 'answer' }>,
  req: Request,
  res: Response,
  exchange: Exchange,
  { clock, answer, redirects }: RespondDeps,
): Promise<void> {
  if (passRedirect(outcome, req, res, redirects)) return;
  const { status, headers, body, release, whole, location } = outcome;
  const length = Number(headers['content-length'] ?? 0);
  const refused =
    status >= 300 && status !== 304
      ? new GatewayError('UPSTREAM_REDIRECT', { reason: `the upstream answered ${status}` })
      : length > answer.maxBytes
        ? new GatewayError('UPSTREAM_TOO_LARGE', { reason: `${length} bytes announced` })
        : undefined;
  if (refused) {
    body.destroy();
    release();
    throw refused;
  }
  const fields = answerHeaders(headers);
  res.statusCode = status;
  for (const [name, value] of Object.entries(fields)) res.setHeader(name, value);
  if (location !== undefined) res.setHeader('Location', location);
  if (exchange.cache !== undefined) res.setHeader('Cache-Status', exchange.cache);
  // An upload's answer holds the file's secret.
  if (req.method === 'POST') res.setHeader('Cache-Control', 'no-store');
  if (whole !== undefined) {
    if (status !== 204) res.setHeader('Content-Length', whole.length);
    if (req.method !== 'HEAD') {
      exchange.bytesOut = whole.length;
      seeAnswer(exchange, whole);
    }
    res.end(whole);
    return;
  }
  try {
    if (req.method === 'HEAD') {
      skip(body, answer.idleMs, clock, release);
      res.end();
      return;
    }
    await relay(body, res, answer, clock, (bytes) => {
      exchange.bytesOut += bytes.length;
      seeAnswer(exchange, bytes);
    });
    release();
  } catch (thrown) {
    // If nothing has been sent yet, an error takes the answer's place, and these fields would speak of the wrong body.
    if (!res.headersSent) {
      for (const name of Object.keys(fields)) res.removeHeader(name);
      res.sendDate = true;
    }
    throw thrown;
  }
}
