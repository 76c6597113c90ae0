import type { OutgoingHttpHeaders } from 'node:http';
import { ApiError, REFUSALS } from './errors.ts';
import type { Refusal } from './errors.ts';
import { durationOf } from './exchange.ts';
import type { Answer, Exchange } from './exchange.ts';

/** An answer in JSON. */
export const jsonAnswer = (status: number, value: unknown, headers: OutgoingHttpHeaders = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/json;charset=UTF-8', ...headers },
  body: Buffer.from(JSON.stringify(value)),
});

/** A refusal in the cloud's error shape. */
export function refusalAnswer(
  exchange: Exchange,
  { status, error, exception, description }: Refusal,
  nowMs: number,
  headers: OutgoingHttpHeaders = {},
): Answer {
  const body = {
    error,
    exception,
    timestamp: Math.floor(exchange.received.at),
    duration: durationOf(exchange, nowMs),
    error_description: description,
  };
  return jsonAnswer(status, body, headers);
}

/** The answer for anything that a handler threw. */
export const thrownAnswer = (exchange: Exchange, thrown: unknown, nowMs: number): Answer =>
  thrown instanceof ApiError
    ? refusalAnswer(exchange, thrown.refusal, nowMs, thrown.headers)
    : refusalAnswer(exchange, REFUSALS.FAULT, nowMs);

/** What the envelope of an entity answer is made of. */
export type EnvelopeParts = {
  action: 'post' | 'get';
  org: string;
  app: string;
  application: string;
  path: string;
  entities: unknown[];
};

/** The envelope around entities; its `uri` names the host that the client asked. */
export function envelope(exchange: Exchange, nowMs: number, parts: EnvelopeParts): Record<string, unknown> {
  const { socket, headers } = exchange.req;
  const host = headers.host ?? `${socket.localAddress}:${socket.localPort}`;
  const name = `${encodeURIComponent(parts.org)}/${encodeURIComponent(parts.app)}`;
  return {
    action: parts.action,
    application: parts.application,
    path: parts.path,
    uri: `http://${host}/${name}${parts.path}`,
    entities: parts.entities,
    timestamp: Math.floor(exchange.received.at),
    duration: durationOf(exchange, nowMs),
    organization: parts.org,
    applicationName: parts.app,
  };
}
