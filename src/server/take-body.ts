import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';
import { allow } from '../policy/decision.ts';
import type { Spool, TakeOptions } from '../upstream/spool.ts';
import type { SpooledBody } from '../upstream/spooled-body.ts';
import type { Exchange } from './exchange.ts';

/** What taking a body in needs: where it waits, and its times: ms without a byte, and ms for the whole. */
export type TakeDeps = { spool: Spool; body: { idleMs: number; totalMs: number }; clock: Clock };

/** What was announced of a body, how large it may be, and who watches it go by, if anybody does. */
export type TakeLimits = {
  announcedBytes: number | undefined;
  maxBytes: number;
  watch?: TakeOptions['watch'] | undefined;
};

/** The phase that takes a request's body in whole; it is let go when its scope ends. */
export async function takeBody(
  req: IncomingMessage,
  { announcedBytes, maxBytes, watch }: TakeLimits,
  exchange: Exchange,
  { spool, body: times, clock }: TakeDeps,
): Promise<AsyncDisposable & { body: SpooledBody }> {
  const step = exchange.trace.step('spool');
  const taking = spool.take(req, {
    ...(announcedBytes === undefined ? {} : { announcedBytes }),
    watch: {
      push(chunk) {
        // Also of a body that never comes whole: who sends megabytes and leaves is to be seen.
        exchange.bytesIn += chunk.length;
        return watch?.push(chunk) ?? allow;
      },
      end: () => watch?.end() ?? allow,
    },
    maxBytes,
    ...times,
    clock,
    signal: exchange.signal,
  });
  const body = await taking.finally(() => step.end());
  return { body, [Symbol.asyncDispose]: () => body.release() };
}
