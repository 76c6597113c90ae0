import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';

/** Bounds of a body that streams through: its bytes, and the ms in which at least one byte must move. */
export type RelayLimits = { maxBytes: number; idleMs: number };

/**
 * Streams an answer's body to the client at the client's pace, and ends the response when the body was whole.
 * Rejects with a GatewayError when the upstream broke off, sent too much, or when either side stood still; the response
 * is then not ended.
 */
export function relay(
  body: IncomingMessage,
  res: ServerResponse,
  { maxBytes, idleMs }: RelayLimits,
  clock: Clock,
  count: (bytes: number) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let total = 0;
  const stop = (error?: GatewayError) => {
    cancelIdle();
    res.off('drain', onDrain);
    res.off('close', onClose);
    if (!error) return resolve();
    body.destroy();
    reject(error);
  };
  const moved = () => {
    cancelIdle();
    cancelIdle = clock.after(idleMs, () => {
      const whose = res.writableNeedDrain ? 'REQUEST_TOO_SLOW' : 'UPSTREAM_TIMEOUT';
      stop(new GatewayError(whose, { reason: `no byte of the answer moved for ${idleMs} ms` }));
    });
  };
  let cancelIdle: () => void = () => {};
  const onDrain = () => {
    moved();
    body.resume();
  };
  const onClose = () => stop(new GatewayError('CLIENT_GONE', { reason: 'left during the answer' }));
  res.on('drain', onDrain);
  res.once('close', onClose);
  body.on('data', (chunk: Buffer) => {
    moved();
    total += chunk.length;
    if (total > maxBytes)
      return stop(new GatewayError('UPSTREAM_TOO_LARGE', { reason: `more than ${maxBytes} bytes` }));
    count(chunk.length);
    if (!res.write(chunk)) body.pause();
  });
  body.once('end', () => {
    // The last bytes may still be on their way to a slow client: the idle timer goes on until they are out.
    res.off('close', onClose);
    res.once('finish', () => stop());
    res.once('close', () => (res.writableFinished ? stop() : onClose()));
    res.end();
  });
  body.once('error', (cause) => stop(new GatewayError('UPSTREAM_BROKEN', { reason: 'the answer broke off', cause })));
  body.once('close', () => {
    if (!body.complete) stop(new GatewayError('UPSTREAM_BROKEN', { reason: 'the answer broke off' }));
  });
  moved();
  return promise;
}
