import type { Request, Response } from 'express';
import type { Entry } from '../cache/entry.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Exchange } from './exchange.ts';

/** What an answer from the cache needs: the time, and how long a client may take for 64 KB of it, in ms. */
export type AnswerKeptDeps = { clock: Clock; answer: { idleMs: number } };

/** Which of an entry's fields clients get. The others are the upstream's validators, which are not ours to hand out. */
export const KEPT_FIELDS = ['content-type', 'content-disposition', 'last-modified', 'etag'] as const;

const STEP_BYTES = 64 * 1024;

/**
 * Answers with what is kept, or the part of it that is asked for (RFC 9110 sections 13 and 14): 200, 206, 304 or 416.
 * Settles when the client has it. Whether this client may have it has been decided before.
 */
export async function answerKept(
  { storedAt, fields, body }: Entry,
  req: Request,
  res: Response,
  exchange: Exchange,
  { clock, answer }: AnswerKeptDeps,
): Promise<void> {
  res.statusCode = 200;
  for (const name of KEPT_FIELDS) if (fields[name] !== undefined) res.setHeader(name, fields[name]);
  res.setHeader('Cache-Control', 'private');
  res.setHeader('Accept-Ranges', 'bytes');
  res.setHeader('Age', Math.max(0, Math.floor((clock.now() - storedAt) / 1000)));
  // Whatever a client says of its own cache: a condition that it makes is answered (RFC 9110 section 13.2.1).
  delete req.headers['cache-control'];
  if (req.fresh) {
    res.statusCode = 304;
    res.removeHeader('Content-Type');
    res.removeHeader('Content-Disposition');
    return finish(res, undefined, 0, exchange, { clock, answer });
  }
  const part = partOf(req, fields, body.length);
  if (part === 'unsatisfiable') {
    for (const name of [...KEPT_FIELDS, 'Accept-Ranges', 'Age', 'Cache-Status']) res.removeHeader(name);
    res.setHeader('Content-Range', `bytes */${body.length}`);
    throw new GatewayError('RANGE_UNSATISFIABLE', { reason: `behind the end at ${body.length}` });
  }
  const bytes = part ? body.subarray(part.start, part.end + 1) : body;
  if (part) {
    res.statusCode = 206;
    res.setHeader('Content-Range', `bytes ${part.start}-${part.end}/${body.length}`);
  }
  res.setHeader('Content-Length', bytes.length);
  return finish(res, req.method === 'HEAD' ? undefined : bytes, bytes.length, exchange, { clock, answer });
}

/** The one range that is asked for and may be given; several, or none that can be read, ask for the whole. */
function partOf(req: Request, fields: Entry['fields'], size: number) {
  if (req.method !== 'GET' || req.headers.range === undefined) return undefined;
  const condition = req.headers['if-range'];
  if (condition !== undefined && condition !== fields['etag'] && condition !== fields['last-modified'])
    return undefined;
  const ranges = req.range(size);
  if (ranges === -1) return 'unsatisfiable';
  if (ranges === undefined || ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1) return undefined;
  return ranges[0];
}

function finish(
  res: Response,
  bytes: Buffer | undefined,
  length: number,
  exchange: Exchange,
  { clock, answer }: AnswerKeptDeps,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const withinMs = answer.idleMs * (1 + length / STEP_BYTES);
  const cancel = clock.after(withinMs, () => {
    reject(new GatewayError('REQUEST_TOO_SLOW', { reason: `did not take ${length} bytes in ${withinMs} ms` }));
  });
  res.once('close', () => {
    cancel();
    if (res.writableFinished) resolve();
    else reject(new GatewayError('CLIENT_GONE', { reason: 'left during the answer' }));
  });
  exchange.bytesOut = bytes?.length ?? 0;
  res.end(bytes);
  return promise;
}
