import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import { type ErrorCode, GatewayError } from '../errors.ts';

/** Bounds of a body that streams through: its bytes, and the ms in which at least one byte must move. */
export type RelayLimits = { maxBytes: number; idleMs: number };

/**
 * Streams an answer's body to the client at the client's pace, and ends the response when the body was whole.
 * Rejects with a GatewayError when the upstream broke off, sent too much, or when either side stood still; the response
 * is then not ended. A body that comes in one piece is not begun before it is whole.
 */
export function relay(
  body: IncomingMessage,
  res: ServerResponse,
  { maxBytes, idleMs }: RelayLimits,
  clock: Clock,
  see: (bytes: Buffer) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let total = 0;
  // The last piece waits for the end of the message, which tells whether the length was true: with the last byte in
  // its hands, a client takes the file for whole, whatever becomes of the connection.
  let held: Buffer | undefined;
  let cancelIdle = () => {};

  const stop = () => {
    cancelIdle();
    res.off('drain', onDrain);
    res.off('close', onClose);
    res.off('finish', onFinish);
    body.off('data', onData);
  };
  const breakOff = (code: ErrorCode, reason: string, cause?: Error | null) => {
    stop();
    body.destroy();
    reject(new GatewayError(code, { reason, cause: cause ?? undefined }));
  };
  const moved = () => {
    cancelIdle();
    cancelIdle = clock.after(idleMs, () => {
      const whose = res.writableNeedDrain || body.readableEnded ? 'REQUEST_TOO_SLOW' : 'UPSTREAM_TIMEOUT';
      breakOff(whose, `no byte of the answer moved for ${idleMs} ms`);
    });
  };
  const onData = (chunk: Buffer) => {
    moved();
    total += chunk.length;
    if (total > maxBytes) return breakOff('UPSTREAM_TOO_LARGE', `more than ${maxBytes} bytes`);
    const ready = held;
    held = chunk;
    if (ready === undefined) return;
    see(ready);
    if (!res.write(ready)) body.pause();
  };
  const onDrain = () => {
    moved();
    body.resume();
  };
  const onFinish = () => {
    stop();
    resolve();
  };
  const onClose = () => breakOff('CLIENT_GONE', 'left during the answer');

  res.on('drain', onDrain).on('finish', onFinish).on('close', onClose);
  // Whoever had it before may have paused it.
  body.on('data', onData).resume();
  // The last bytes may still be on their way to a slow client: the idle timer goes on until they are out.
  body.once('end', () => {
    if (held) see(held);
    res.end(held);
  });
  const onBodyClose = () => {
    if (body.errored || !body.complete) breakOff('UPSTREAM_BROKEN', 'the answer broke off', body.errored);
  };
  body.on('error', () => {}).once('close', onBodyClose);
  moved();
  // Either end may have closed before anybody could listen; what comes in one go breaks in one go, too.
  if (res.destroyed) onClose();
  else if (body.closed) onBodyClose();
  return promise;
}
