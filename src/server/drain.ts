/**
 * How the gateway leaves without losing a request.
 *
 * 1. Readiness has fallen. For a while requests are taken as before, until load balancers have noticed; each answer closes
 *    its connection, so that the next request finds another replica.
 * 2. No new connection is taken. What is under way goes on; who would get a slot only after the end was told so at once.
 * 3. Connections that stay idle are closed, a little later: whose load balancer knows nothing of readiness finds out by
 *    the connection that it cannot make, and one that closes idle connections itself has done so by then.
 * 4. Shortly before the deadline, whatever has no answer yet is refused with one that says when to come back.
 * 5. At the deadline what is left is cut.
 */
import { once } from 'node:events';
import { Server } from 'node:net';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Notice } from '../notice.ts';
import type { UnderWay } from './under-way.ts';

/** How long requests are still taken, and when all must be over, both in ms from the beginning of the drain. */
export type DrainTimes = { delayMs: number; deadlineMs: number };

/** What became of the requests that were under way when the drain began, or came during it; `refused`: with a 503, or at the last call. */
export type Drained = { finished: number; refused: number; cut: number };

/** What a drain acts on: the clients' port, what is under way there, and the line before the upstream. */
export type DrainDeps = {
  server: Server;
  underWay: UnderWay;
  /** From now on whoever would have to wait longer than that is refused at once. */
  endLine: (withinMs: number) => void;
  /** Aborted when the deadline is now: whoever drains cannot wait. */
  hurry: AbortSignal;
  clock: Clock;
  notice: Notice;
};

/** How often idle connections are looked for, in ms. */
const SWEEP_MS = 50;
/** How much longer than the delay a connection must have been idle, in ms. */
const LINGER_MS = 1000;
/** How long before the deadline those without an answer are refused, in ms; less where the deadline is near. */
const LAST_CALL_MS = 1000;
/** When to come back, in ms: at another replica, at once. */
const COME_BACK_MS = 1000;

/** Drains a server that listens; the caller sees to it that it does so once. */
export async function drainServer({ delayMs, deadlineMs }: DrainTimes, deps: DrainDeps): Promise<Drained> {
  const { server, underWay, endLine, hurry, clock, notice } = deps;
  if (!server.listening) return { finished: 0, refused: 0, cut: 0 };
  const since = clock.monotonic();
  const before = { finished: underWay.finished, refused: underWay.refused };
  const lastCallMs = deadlineMs - Math.min(LAST_CALL_MS, deadlineMs / 10);
  let [refused, cut] = [0, 0];
  const now = () => ({ requests: underWay.requests, connections: underWay.connections });

  notice('info', 'draining: not ready any more, requests are still taken', { ...now(), delayMs, deadlineMs });
  underWay.closeAfterAnswers();
  endLine(lastCallMs);
  const cancelLastCall = clock.after(lastCallMs, () => {
    refused = underWay.breakOff(() => draining('no answer in sight shortly before the end of the drain'));
  });
  const { promise: isLate, resolve: beLate } = Promise.withResolvers<void>();
  const cancelDeadline = clock.after(deadlineMs, beLate);
  hurry.addEventListener('abort', () => beLate(), { once: true });
  if (hurry.aborted) beLate();
  if (delayMs > 0) await Promise.race([after(delayMs, clock), isLate]);
  await quietTurn(underWay, clock);

  const closed = once(server, 'close');
  // The HTTP server's own way would close idle connections at once, and look for late heads no more.
  Server.prototype.close.call(server);
  if (delayMs > 0) notice('info', 'draining: no new connections are taken', now());
  const idleMs = delayMs > 0 ? delayMs + LINGER_MS : 0;
  const over = new AbortController();
  const sweep = async () => {
    while (!over.signal.aborted) {
      await quietTurn(underWay, clock);
      underWay.closeIdle(idleMs, since);
      await after(SWEEP_MS, clock);
    }
  };
  void sweep();
  await Promise.race([
    closed,
    isLate.then(() => void (cut = underWay.cut(() => draining('cut at the end of the drain')))),
  ]);
  await closed;
  over.abort();
  // The connections are gone, but not everybody has heard of that: what was cut shall still be told.
  await new Promise((resolve) => setImmediate(resolve));
  // Its timer for late heads ends with this.
  server.close();
  for (const cancel of [cancelLastCall, cancelDeadline]) cancel();
  const drained = {
    finished: underWay.finished - before.finished,
    refused: refused + underWay.refused - before.refused,
    cut,
  };
  const tookMs = Math.round(clock.monotonic() - since);
  if (cut === 0) notice('info', 'drained: nothing was cut', { ...drained, tookMs });
  else
    notice('warn', 'drained: the deadline has passed, and requests that were under way were cut', {
      ...drained,
      tookMs,
    });
  return drained;
}

/** A turn of the event loop that was this short had nothing to do, in ms… */
const QUIET_MS = 0.5;
/** …and a process that is never so is not waited for longer than so many turns. */
const MOST_TURNS = 500;

/**
 * Waits for the end of a turn of the event loop in which nobody connected and next to nothing else happened. Whoever
 * connected before is taken by then, whatever was sent is read: closing a port resets connections that the kernel has
 * made and nobody has taken yet, of which there may be several, since Node takes one in each turn; and closing a
 * connection resets it where something on it was not read.
 */
async function quietTurn(underWay: UnderWay, clock: Clock): Promise<void> {
  for (let turn = 0; turn < MOST_TURNS; turn += 1) {
    const { taken } = underWay;
    const startedAt = clock.monotonic();
    await new Promise((resolve) => setImmediate(resolve));
    if (turn > 0 && underWay.taken === taken && clock.monotonic() - startedAt < QUIET_MS) return;
  }
}

const draining = (reason: string): GatewayError => new GatewayError('DRAINING', { retryAfterMs: COME_BACK_MS, reason });

const after = (ms: number, clock: Clock): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve));
