import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';

/** A body this small is read to its end, which spares the connection it came on. */
const SMALL_BYTES = 64 * 1024;

/** Throws a body away: by reading it if it is announced as small and takes no longer than `withinMs`, so that its connection can be kept. */
export function skip(body: IncomingMessage, withinMs: number, clock: Clock, release: () => void): void {
  const isSmall = Number(body.headers['content-length'] ?? Infinity) <= SMALL_BYTES;
  const cancel = clock.after(isSmall ? withinMs : 0, () => body.destroy());
  body
    .on('error', () => {})
    .once('close', () => {
      cancel();
      release();
    });
  body.resume();
}
