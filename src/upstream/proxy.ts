/**
 * Send over http-proxy-middleware: the engine of one attempt.
 *
 * The middleware resolves the target, copies the headers it is given, chooses the agent, pipes the body and ties the
 * ends together. It does not own the client's response (see attempt.ts), decides nothing, and its own error page is
 * never reached. Per-attempt bodies go in through `router`, which gets this request's own copy of the options.
 */
import type { Agent as HttpAgent, IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { createProxyMiddleware, type Options } from 'http-proxy-middleware';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { createAgent } from './agent.ts';
import type { AgentConfig } from './agent-pool.ts';
import { TunnelError } from './agent-tunnel.ts';
import { Attempt, AttemptRequest, type AttemptResult, type AttemptTimeouts, isUnreadable } from './attempt.ts';
import { describeError } from './describe-error.ts';
import { readRefusal } from './refusal.ts';
import type { OutboundRequest, Outcome, Send } from './send.ts';

/** What the proxy needs to know: the upstream's origin, its time limits in ms, and how it is connected to. */
export type ProxyConfig = AttemptTimeouts & AgentConfig & { url: string };

/** The way to one upstream; disposing closes its kept-alive connections. */
export type UpstreamProxy = Disposable & { send: Send };

/** Opens the way to an upstream origin, by connections of this agent, which is destroyed with it. */
export function createUpstreamProxy(
  config: ProxyConfig,
  clock: Clock,
  agent: HttpAgent = createAgent(new URL(config.url), config, { clock }),
): UpstreamProxy {
  const target = new URL(config.url);
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
  const isLasting = (error instanceof TunnelError && error.isLasting) || isTlsRefusal(error);
  // With TLS 1.3 an upstream refuses our certificate after the request has gone out to it, unread.
  const isUnreachable = sent === 'nothing' || isTlsRefusal(error);
  const cause = timedOut ? 'timeout' : isUnreachable ? 'unreachable' : isUnreadable(error) ? 'broken' : 'reset';
  return { kind: 'failure', cause, sent, reused, isLasting, error: withWords(error) };
}

/** Whether one side did not accept the other's certificate; it will not the next time either. */
const isTlsRefusal = (error: Error): boolean =>
  /CERT|^UNABLE_TO_|^HOSTNAME_MISMATCH$|^ERR_SSL_.*_ALERT_(?:UNKNOWN_CA|ACCESS_DENIED)$/.test(
    'code' in error && typeof error.code === 'string' ? error.code : '',
  );

function withWords(error: Error): Error {
  if (error.message === '') error.message = describeError(error);
  return error;
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
