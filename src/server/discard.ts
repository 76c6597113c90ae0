import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';

/** What is still read of a body that was refused: at most so many bytes, and for at most so many ms. */
export type DiscardLimits = { discardBytes: number; discardMs: number };

/** A client that waits for `100 Continue` and got an error sends nothing more; this is how long it may change its mind, in ms. */
const UNAWAITED_MS = 1000;

/** Whether a request has a body of which something may still come. */
export function hasUnreadBody(req: IncomingMessage): boolean {
  if (req.complete) return false;
  const { 'content-length': length, 'transfer-encoding': coding } = req.headers;
  return coding !== undefined || (length !== undefined && length !== '0');
}

/** Reads and throws away what still comes of a body, within the limits; calls back once when that is over. */
export function discardRest(
  req: IncomingMessage,
  { discardBytes, discardMs, isAwaited }: DiscardLimits & { isAwaited: boolean },
  clock: Clock,
  done: () => void,
): void {
  let bytes = 0;
  let isOver = false;
  const finish = () => {
    if (isOver) return;
    isOver = true;
    cancelDeadline();
    cancelFirst();
    req.off('data', count);
    req.pause();
    done();
  };
  const cancelDeadline = clock.after(discardMs, finish);
  let cancelFirst = isAwaited ? () => {} : clock.after(UNAWAITED_MS, finish);
  const count = (chunk: Buffer) => {
    cancelFirst();
    cancelFirst = () => {};
    bytes += chunk.length;
    if (bytes > discardBytes) finish();
  };
  req.on('data', count);
  req.once('end', finish);
  req.once('close', finish);
  // A broken end of the body is nobody's concern any more, but an unheard error event would end the process.
  req.on('error', finish);
  req.resume();
}
