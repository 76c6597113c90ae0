import { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { createAgent } from '../../src/upstream/agent.ts';
import type { AgentConfig, AgentDeps } from '../../src/upstream/agent-pool.ts';
import { createUpstreamProxy, type ProxyConfig } from '../../src/upstream/proxy.ts';
import type { OutboundRequest, Outcome, Send } from '../../src/upstream/send.ts';

const CONFIG = { connectTimeoutMs: 5000, answerTimeoutMs: 5000, idleTimeoutMs: 5000, maxSockets: 8, keepAliveMs: 4000 };

/** A request as the layers above hand it down. */
export const outbound = (more: Partial<OutboundRequest> = {}): OutboundRequest => ({
  method: 'GET',
  path: '/o/a/chatfiles/x',
  headers: { authorization: 'Bearer t', connection: 'keep-alive' },
  signal: new AbortController().signal,
  turn: {
    client: 'c',
    app: 'o/a',
    bearer: 'b',
    kind: 'download',
    isProven: true,
    isSpare: false,
    priority: 0,
    maxWaitMs: 1000,
  },
  trail: { attempts: 0, queuedMs: 0, upstreamMs: 0 },
  ...more,
});

/** An upload of these bytes. */
export const upload = (bytes: Buffer, more: Partial<OutboundRequest> = {}): OutboundRequest =>
  outbound({
    method: 'POST',
    body: { bytes: bytes.length, open: () => Readable.from([bytes]), release: async () => {} },
    ...more,
  });

/** The text of an answer; anything else throws. */
export async function readText(outcome: Outcome): Promise<string> {
  if (outcome.kind !== 'answer') throw new Error(`no answer: ${JSON.stringify(outcome)}`, { cause: outcome });
  const chunks = await Array.fromAsync(outcome.body as AsyncIterable<Buffer>);
  outcome.release();
  return Buffer.concat(chunks).toString();
}

/** The way to an upstream, with an agent of its own, for one test. */
export function openWay(
  url: string,
  config: Partial<ProxyConfig & AgentConfig> = {},
  { clock = systemClock, ...deps }: Partial<AgentDeps> & { clock?: Clock } = {},
): Send {
  const whole = { ...CONFIG, ...config, url };
  const proxy = createUpstreamProxy(whole, clock, createAgent(new URL(url), whole, { clock, ...deps }));
  onTestFinished(() => proxy[Symbol.dispose]());
  return proxy.send;
}
