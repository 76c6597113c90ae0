import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';
import { type ErrorCode, GatewayError } from '../errors.ts';

/** Bounds of a body that is taken in whole: its bytes, and the ms in which at least one byte must move. */
export type CollectLimits = { maxBytes: number; idleMs: number };

/**
 * Takes in an answer's body. Resolves to its bytes when it was whole; or to undefined when it is longer than allowed:
 * then nothing of it is lost, and it can be read from its beginning by somebody else. Rejects with a GatewayError when
 * the upstream broke off or stood still.
 */
export function collect(
  body: IncomingMessage,
  { maxBytes, idleMs }: CollectLimits,
  clock: Clock,
): Promise<Buffer | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  let cancelIdle = () => {};

  const stop = () => {
    cancelIdle();
    body.off('data', onData).off('end', onEnd).off('close', onClose);
  };
  const breakOff = (code: ErrorCode, reason: string, cause?: Error | null) => {
    stop();
    body.destroy();
    reject(new GatewayError(code, { reason, cause: cause ?? undefined }));
  };
  const moved = () => {
    cancelIdle();
    cancelIdle = clock.after(idleMs, () => breakOff('UPSTREAM_TIMEOUT', `no byte of the answer came for ${idleMs} ms`));
  };
  const onData = (chunk: Buffer) => {
    moved();
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes <= maxBytes) return;
    stop();
    body.pause();
    body.unshift(Buffer.concat(chunks));
    resolve(undefined);
  };
  const onEnd = () => {
    // A length that was not kept to is told by what comes with the close.
    if (!body.complete) return;
    stop();
    resolve(Buffer.concat(chunks));
  };
  const onClose = () => breakOff('UPSTREAM_BROKEN', 'the answer broke off', body.errored);

  body.on('error', () => {});
  body.on('data', onData).on('end', onEnd).on('close', onClose);
  moved();
  if (body.closed) onClose();
  return promise;
}
