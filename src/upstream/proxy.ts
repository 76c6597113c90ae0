/**
 * Send over http-proxy-middleware: the engine of one attempt.
 *
 * The middleware resolves the target, copies the headers it is given, chooses the agent, pipes the body and ties the
 * ends together. It does not own the client's response (see attempt.ts), decides nothing, and its own error page is
 * never reached. Per-attempt bodies go in through `router`, which gets this request's own copy of the options.
 */
import { Agent as HttpAgent, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Readable } from 'node:stream';
import { createProxyMiddleware, type Options } from 'http-proxy-middleware';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { Attempt, AttemptRequest, type AttemptResult, type AttemptTimeouts, isUnreadable } from './attempt.ts';
import { readRefusal } from './refusal.ts';
import type { OutboundRequest, Outcome, Send } from './send.ts';

/** What the proxy needs to know: the upstream's origin, its time limits in ms, and how many connections it may hold. */
export type ProxyConfig = AttemptTimeouts & { url: string; maxSockets: number; keepAliveMs: number };

/** The way to one upstream; disposing closes its kept-alive connections. */
export type UpstreamProxy = Disposable & { send: Send };

/** Opens the way to an upstream origin. */
export function createUpstreamProxy(config: ProxyConfig, clock: Clock): UpstreamProxy {
  const target = new URL(config.url);
  const agent = createAgent(target, config);
  const forward = createProxyMiddleware(engineOptions(target, agent));

  const send: Send = async (request) => {
    const startedAt = clock.monotonic();
    request.trail.attempts += 1;
    const body = request.body?.open() ?? Readable.from([]);
    const attempt = new Attempt(body, config, clock, request);
    // The engine reads only what AttemptRequest and Attempt offer; its types ask for the whole of node:http.
    const attemptRequest = new AttemptRequest(request, target.host) as unknown as IncomingMessage;
    if (!attempt.destroyed) {
      forward(attemptRequest, attempt as unknown as ServerResponse).catch((error: unknown) =>
        attempt.fail(asError(error)),
      );
    }
    const outcome = await readOutcome(request, attempt, await attempt.outcome, config.idleTimeoutMs, clock);
    request.trail.upstreamMs += clock.monotonic() - startedAt;
    if (outcome.kind === 'failure' && outcome.reused) closeIdle(agent);
    return outcome;
  };
  return { send, [Symbol.dispose]: () => agent.destroy() };
}

/**
 * Connections are kept and shared, uploads too: a handshake within a slot would be jitter, and what is sent evenly
 * would not arrive so. Idle ones must go before the upstream closes them, or the next request meets a reset.
 */
function createAgent({ protocol }: URL, { maxSockets, keepAliveMs }: ProxyConfig): HttpAgent {
  const Agent = protocol === 'https:' ? HttpsAgent : HttpAgent;
  const idle = { maxFreeSockets: maxSockets, timeout: keepAliveMs, scheduling: 'lifo' } as const;
  return new Agent({ keepAlive: true, maxSockets, ...idle });
}

/** What made one kept connection stale, a restart or a forgetful router, has most likely done so to all that were idle. */
function closeIdle({ freeSockets }: HttpAgent): void {
  for (const socket of Object.values(freeSockets).flatMap((idle) => idle ?? [])) socket.destroy();
}

function engineOptions(target: URL, agent: HttpAgent): Options {
  const attemptOf = (response: unknown) => response as Attempt;
  return {
    target,
    agent,
    selfHandleResponse: true,
    // Its default plugins build a log line and a URL for every answer, and an error page that shows the URL.
    ejectPlugins: true,
    pathFilter: () => true,
    router: (_request, response, options) => {
      Object.assign(options, { buffer: attemptOf(response).body });
      return target;
    },
    plugins: [
      (engine) => {
        engine.on('proxyReq', (request, _incoming, response) => attemptOf(response).started(request));
        engine.on('proxyRes', (answer, _incoming, response) => attemptOf(response).answered(answer));
        // Both may come more than once, and after an answer; the attempt takes the first that matters.
        engine.on('error', (error, _incoming, response) => attemptOf(response).fail(error));
        engine.on('econnreset', (error, _incoming, response) => attemptOf(response).fail(error));
      },
    ],
  };
}

async function readOutcome(
  request: OutboundRequest,
  attempt: Attempt,
  result: AttemptResult,
  idleMs: number,
  clock: Clock,
): Promise<Outcome> {
  if (!result.ok) return failureOf(result);
  const { answer } = result;
  const status = answer.statusCode ?? 0;
  // Beyond what HTTP defines: nobody would know what to make of it.
  if (status >= 600) {
    attempt.destroy();
    const error = new Error(`the upstream answered with the status ${status}`);
    return { kind: 'failure', cause: 'broken', sent: 'whole', reused: false, error };
  }
  if (status < 400) {
    return { kind: 'answer', status, headers: answer.headers, body: answer, release: () => attempt.release() };
  }
  const refusal = await readRefusal(answer, { withinMs: idleMs, clock, signal: request.signal });
  attempt.release();
  return { kind: 'refusal', status, headers: answer.headers, ...refusal };
}

function failureOf({ error, timedOut, sent, reused }: Extract<AttemptResult, { ok: false }>): Outcome {
  // Our own: the spool could not give the body back.
  if (error instanceof GatewayError) throw error;
  const cause = timedOut ? 'timeout' : sent === 'nothing' ? 'unreachable' : isUnreadable(error) ? 'broken' : 'reset';
  return { kind: 'failure', cause, sent, reused, error };
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
