import type { Duplex } from 'node:stream';
import { STATUS_CODES } from 'node:http';
import type { Clock } from '../clock.ts';
import { type ErrorCode, KINDS } from '../errors.ts';
import { errorBody } from './fail.ts';

/** Answers, on the bare socket, a request that could not be parsed far enough to have a response object; then closes it. */
export function refuseOnSocket(
  code: ErrorCode,
  socket: Duplex,
  clock: Clock,
  securityHeaders: readonly string[],
): void {
  const status = KINDS[code].status;
  // An answer to an earlier request may be under way on this connection; bytes in the middle of it would be worse.
  const isAnswering =
    (socket as { _httpMessage?: { headersSent?: boolean } | null })._httpMessage?.headersSent ?? false;
  if (code === 'CLIENT_GONE' || !socket.writable || isAnswering) {
    socket.destroy();
    return;
  }
  const now = clock.now();
  const body = errorBody({ code }, now, now);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
    ...(status === 405 ? ['Allow: GET, HEAD, POST'] : []),
    ...securityHeaders,
  ];
  socket.on('error', () => socket.destroy());
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
