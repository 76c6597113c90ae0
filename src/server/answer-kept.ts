import type { Request, Response } from 'express';
import type { Entry } from '../cache/entry.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { seeAnswer } from './movement.ts';

/** What an answer from the cache needs: the time, and how long a client may take for 64 KB of it, in ms. */
export type AnswerKeptDeps = { clock: Clock; answer: { idleMs: number } };

/** Which of an entry's fields clients get. The others are the upstream's validators, which are not ours to hand out. */
export const KEPT_FIELDS = ['content-type', 'content-disposition', 'last-modified', 'etag'] as const;

/** What the answer hangs on beside the address: one device may have several users. */
export const VARY = 'Authorization, share-secret, thumbnail';

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
  res.vary(VARY);
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

type Part = { start: number; end: number };

/** The one range that is asked for and may be given; several, or none that can be read, ask for the whole. */
function partOf(req: Request, fields: Entry['fields'], size: number): Part | 'unsatisfiable' | undefined {
  if (req.method !== 'GET' || req.headers.range === undefined) return undefined;
  const condition = req.headers['if-range'];
  if (condition !== undefined && condition !== fields['etag'] && condition !== fields['last-modified'])
    return undefined;
  return readRange(req.headers.range, size);
}

/** From one byte on, perhaps to another; or the last so many. */
const RANGE = /^bytes=(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))$/i;

/** Reads a range of bytes; not by Express, to which the last 99 bytes of 36 are unsatisfiable, and so is 3-1. */
function readRange(text: string, size: number): Part | 'unsatisfiable' | undefined {
  const [, first, last = String(Number.MAX_SAFE_INTEGER), suffix] = RANGE.exec(text) ?? [];
  if (suffix !== undefined) {
    return Number(suffix) === 0 ? 'unsatisfiable' : { start: Math.max(0, size - Number(suffix)), end: size - 1 };
  }
  if (first === undefined || Number(last) < Number(first)) return undefined;
  if (Number(first) >= size) return 'unsatisfiable';
  return { start: Number(first), end: Math.min(Number(last), size - 1) };
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
  const onClose = () => {
    cancel();
    if (res.writableFinished) resolve();
    else reject(new GatewayError('CLIENT_GONE', { reason: 'left during the answer' }));
  };
  // It may have left while the entry was read, before anybody could listen.
  if (res.destroyed) onClose();
  else {
    exchange.bytesOut = bytes?.length ?? 0;
    if (bytes) seeAnswer(exchange, bytes);
    res.once('close', onClose).end(bytes);
  }
  return promise;
}
