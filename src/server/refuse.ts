import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { type ErrorCode, KINDS } from '../errors.ts';
import { errorBody } from './fail.ts';

/** How long what still comes behind a refusal is thrown away: a client that is cut off while it sends may not see it. */
const LINGER_MS = 2000;

/** Answers, on the bare socket, what could not be parsed far enough to have a response object; then closes it. */
export function refuseOnSocket(
  code: ErrorCode,
  socket: Socket,
  clock: Clock,
  securityHeaders: readonly string[],
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status = KINDS[code].status;
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
  socket.once(
    'close',
    clock.after(LINGER_MS, () => socket.destroy()),
  );
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.resume();
}
