import { setTimeout as sleep } from 'node:timers/promises';
import { deliver, discardAnswer, untilGone } from './deliver.ts';
import type { Bend } from './deliver.ts';
import { REFUSALS } from './errors.ts';
import { readBody } from './exchange.ts';
import type { Answer, Exchange } from './exchange.ts';
import type { FaultPlan } from './faults.ts';
import { jsonAnswer, refusalAnswer } from './json-answer.ts';

type Played = NonNullable<FaultPlan['fault']>;

/** How long an ignored request body is left lying before the connection is closed. */
const IGNORED_MS = 1_000;

/** Answers a request as its fault wants it; `work` is what the emulator would do without the fault. */
export async function play(exchange: Exchange, fault: Played, work: () => Promise<Answer>, nowMs: number) {
  switch (fault.kind) {
    case 'unavailable':
    case 'status':
    case 'redirect':
      return deliver(exchange, madeUpAnswer(exchange, fault, nowMs));
    case 'early-answer':
      return answerEarly(exchange, fault, nowMs);
    case 'hang':
    case 'reset':
      return stop(exchange, fault, work);
    case 'truncate':
      return deliver(exchange, await work(), bendOf(fault.kind, fault.afterBytes));
    case 'wrong-length':
      return deliver(exchange, await work(), { kind: 'wrong-length', by: fault.by });
  }
}

const bendOf = (kind: 'reset' | 'hang' | 'truncate', afterBytes: number | undefined): Bend => ({ kind, afterBytes });

type MadeUp = Extract<Played, { kind: 'unavailable' | 'status' | 'redirect' | 'early-answer' }>;

function madeUpAnswer(exchange: Exchange, fault: MadeUp, nowMs: number): Answer {
  if (fault.kind === 'unavailable') {
    const { retryAfterSeconds } = fault;
    const headers = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
    return refusalAnswer(exchange, REFUSALS.UNAVAILABLE, nowMs, headers);
  }
  if (fault.kind === 'redirect') {
    return { status: fault.status ?? 302, headers: { location: fault.location }, body: Buffer.alloc(0) };
  }
  const { status = 413, headers: given = {}, body } = fault;
  // Lower case, so that a given Content-Length takes the place of ours.
  const headers = Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]));
  if (typeof body === 'string') return { status, headers, body: Buffer.from(body) };
  if (body !== undefined) return jsonAnswer(status, body, headers);
  return refusalAnswer(exchange, { ...refusalOf(status), status }, nowMs, headers);
}

const refusalOf = (status: number) =>
  Object.values(REFUSALS).find((refusal) => refusal.status === status) ?? REFUSALS.FAULT;

async function answerEarly(exchange: Exchange, fault: Extract<Played, { kind: 'early-answer' }>, nowMs: number) {
  const { afterBytes = 1, rest = 'read' } = fault;
  const { req, res, received } = exchange;
  if (afterBytes > 0) {
    const body = readBody(exchange);
    while (received.bytesIn < afterBytes && !(await body.next()).done);
    // Leaves the rest on the connection.
    await body.return(undefined);
  }
  const answer = madeUpAnswer(exchange, fault, nowMs);
  // deliver() reads the rest by itself, within its bounds.
  if (rest === 'read') return deliver(exchange, answer);
  // The whole answer goes out while not a byte more is read.
  const { status, headers, body } = answer;
  res.writeHead(status, { ...headers, 'content-length': headers['content-length'] ?? body.length });
  received.status = status;
  received.bytesOut += body.length;
  if (Buffer.isBuffer(body)) res.write(body);
  req.pause();
  await Promise.race([sleep(rest === 'reset' ? 15 : IGNORED_MS), untilGone(exchange)]);
  if (rest === 'reset') req.socket.resetAndDestroy();
  else req.socket.destroy();
}

async function stop(
  exchange: Exchange,
  { kind, where = 'start', afterBytes }: Extract<Played, { kind: 'hang' | 'reset' }>,
  work: () => Promise<Answer>,
) {
  if (where === 'middle') return deliver(exchange, await work(), bendOf(kind, afterBytes));
  if (where === 'unanswered') await discardAnswer(await work());
  if (kind === 'hang') return untilGone(exchange);
  exchange.req.socket.resetAndDestroy();
}
