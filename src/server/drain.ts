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

/** What became of the requests that were under way when the drain began, or came during it. */
export type Drained = { finished: number; refused: number; cut: number };

/** What a drain acts on: the clients' port, what is under way there, and the line before the upstream. */
export type DrainDeps = {
  server: Server;
  underWay: UnderWay;
  /** From now on whoever would have to wait longer than that is refused at once. */
  endLine: (withinMs: number) => void;
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
  const { server, underWay, endLine, clock, notice } = deps;
  if (!server.listening) return { finished: 0, refused: 0, cut: 0 };
  const since = clock.monotonic();
  const finishedBefore = underWay.finished;
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
  if (delayMs > 0) await Promise.race([after(delayMs, clock), isLate]);
  // Right behind a look at the network: whoever has connected before is accepted by now, and not reset.
  await new Promise((resolve) => setImmediate(resolve));

  const closed = once(server, 'close');
  // The HTTP server's own way would close idle connections at once, and look for late heads no more.
  Server.prototype.close.call(server);
  if (delayMs > 0) notice('info', 'draining: no new connections are taken', now());
  const idleMs = delayMs > 0 ? delayMs + LINGER_MS : 0;
  const sweep = (): (() => void) =>
    clock.after(SWEEP_MS, () => {
      underWay.closeIdle(idleMs, since);
      cancelSweep = sweep();
    });
  let cancelSweep = sweep();
  underWay.closeIdle(idleMs, since);
  await Promise.race([
    closed,
    isLate.then(() => void (cut = underWay.cut(() => draining('cut at the end of the drain')))),
  ]);
  await closed;
  // The connections are gone, but not everybody has heard of that: what was cut shall still be told.
  await new Promise((resolve) => setImmediate(resolve));
  // Its timer for late heads ends with this.
  server.close();
  for (const cancel of [cancelSweep, cancelLastCall, cancelDeadline]) cancel();
  const drained = { finished: underWay.finished - finishedBefore, refused, cut };
  const tookMs = Math.round(clock.monotonic() - since);
  if (cut === 0) notice('info', 'drained: nothing was cut', { ...drained, tookMs });
  else
    notice('warn', 'drained: the deadline has passed, and requests that were under way were cut', {
      ...drained,
      tookMs,
    });
  return drained;
}

const draining = (reason: string): GatewayError => new GatewayError('DRAINING', { retryAfterMs: COME_BACK_MS, reason });

const after = (ms: number, clock: Clock): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve));
