/**
 * Send over http-proxy-middleware: the engine of one attempt.
 *
 * The middleware resolves the target, copies the headers it is given, chooses the agent, pipes the body and ties the
 * ends together. It does not own the client's response (see attempt.ts), decides nothing, and its own error page is
 * never reached. Per-attempt bodies go in through `router`, which gets this request's own copy of the options.
 */
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Readable } from 'node:stream';
import { createProxyMiddleware, type Options } from 'http-proxy-middleware';
import type { Clock } from '../clock.ts';
import { Attempt, AttemptRequest, type AttemptResult, type AttemptTimeouts } from './attempt.ts';
import { readRefusal } from './refusal.ts';
import type { OutboundRequest, Outcome, Send } from './send.ts';

/** What the proxy needs to know: the upstream's origin, its time limits in ms, and how many connections it may hold. */
export type ProxyConfig = AttemptTimeouts & {
  url: string;
  maxSockets: number;
  keepAliveMs: number;
  idleTimeoutMs: number;
};

/** The way to one upstream; disposing closes its kept-alive connections. */
export type UpstreamProxy = Disposable & { send: Send };

/** Opens the way to an upstream origin. */
export function createUpstreamProxy(config: ProxyConfig, clock: Clock): UpstreamProxy {
  const target = new URL(config.url);
  const Agent = target.protocol === 'https:' ? HttpsAgent : HttpAgent;
  // Idle sockets must go before the upstream closes them, or the next request meets a reset.
  const agent = new Agent({
    keepAlive: true,
    maxSockets: config.maxSockets,
    maxFreeSockets: config.maxSockets,
    timeout: config.keepAliveMs,
    scheduling: 'lifo',
  });
  const forward = createProxyMiddleware(engineOptions(target, agent));

  const send: Send = async (request) => {
    const startedAt = clock.monotonic();
    request.trail.attempts += 1;
    const body = request.body?.open() ?? Readable.from([]);
    const attempt = new Attempt(body, config, clock, request.signal);
    if (request.signal.aborted) attempt.fail(new Error('the client has gone'));
    // The engine reads only what AttemptRequest and Attempt offer; its types ask for the whole of node:http.
    const attemptRequest = new AttemptRequest(request, target.host) as unknown as IncomingMessage;
    forward(attemptRequest, attempt as unknown as ServerResponse).catch((error: unknown) =>
      attempt.fail(asError(error)),
    );
    const outcome = await readOutcome(request, attempt, await attempt.outcome, config.idleTimeoutMs, clock);
    request.trail.upstreamMs += clock.monotonic() - startedAt;
    return outcome;
  };
  return { send, [Symbol.dispose]: () => agent.destroy() };
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
      (options as { buffer?: Readable }).buffer = attemptOf(response).body;
      return target;
    },
    plugins: [
      (engine) => {
        engine.on('proxyReq', (request, _incoming, response) => attemptOf(response).started(request as ClientRequest));
        engine.on('proxyRes', (answer, _incoming, response) => attemptOf(response).answered(answer as IncomingMessage));
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
  if (status < 400) {
    return { kind: 'answer', status, headers: answer.headers, body: answer, release: () => attempt.release() };
  }
  const refusal = await readRefusal(answer, { idleMs, clock, signal: request.signal });
  attempt.release();
  return { kind: 'refusal', status, headers: answer.headers, ...refusal };
}

function failureOf({ error, timedOut, sent, reused }: Extract<AttemptResult, { ok: false }>): Outcome {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const cause = timedOut
    ? 'timeout'
    : sent === 'nothing'
      ? 'unreachable'
      : code.startsWith('HPE_')
        ? 'broken'
        : 'reset';
  return { kind: 'failure', cause, sent, reused, error };
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
