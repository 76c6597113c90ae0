import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { type ErrorCode, KINDS } from '../errors.ts';
import { clientCertOf } from './client-certificate.ts';
import { errorBody } from './fail.ts';
import { decisionOf, type Summary } from './summarize.ts';

/** How long what still comes behind a refusal is thrown away: a client that is cut off while it sends may not see it. */
const LINGER_MS = 2000;

/** What a refusal on the bare socket needs: the time, somewhere to put its summary, and the headers of every answer. */
export type RefuseDeps = { clock: Clock; record: (summary: Summary) => void; securityHeaders: readonly string[] };

/** Answers and records, on the bare socket, what could not be parsed far enough to have a response object; then closes it. */
export function refuseOnSocket(code: ErrorCode, socket: Socket, { clock, record, securityHeaders }: RefuseDeps): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { status, source } = KINDS[code];
  const now = clock.now();
  const id = randomUUID();
  const decided = decisionOf(code, { route: 'other' });
  const client = socket.remoteAddress ?? 'unknown';
  record({ ...NOTHING_KNOWN, ...decided, id, client, clientCert: clientCertOf(socket), status, error: code, source });
  const body = errorBody({ code }, now, now);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
    `X-Request-Id: ${id}`,
    ...(status === 405 ? ['Allow: GET, HEAD, POST'] : []),
    ...securityHeaders,
  ];
  socket.on('error', () => socket.destroy());
  socket.once(
    'close',
    clock.after(LINGER_MS, () => socket.destroy()),
  );
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.resume();
}

/** The summary of a request of which not even the method is certain. */
const NOTHING_KNOWN = {
  traceId: undefined,
  method: 'other',
  route: 'other',
  app: undefined,
  reason: undefined,
  cause: undefined,
  wouldDeny: undefined,
  wouldDenyReason: undefined,
  scan: undefined,
  scanMs: undefined,
  upstreamStatus: undefined,
  cache: undefined,
  attempts: 0,
  queuedMs: 0,
  upstreamMs: 0,
  durationMs: 0,
  bytesIn: 0,
  bytesOut: 0,
} as const;
