import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';

/** Places that so many may have at once. */
export type Places = {
  /** Gives a place as soon as one is free, and the function that frees it; rejects when none is in time, or on abort. */
  take(signal: AbortSignal): Promise<() => void>;
  readonly taken: number;
};

/** How soon it is worth to come back, in ms. */
const COME_BACK_MS = 1000;

/** Opens so many places; who finds none waits in turn, for so long. */
export function createPlaces(max: number, waitMs: number, clock: Clock): Places {
  const waiting = new Set<() => void>();
  let taken = 0;
  const place = () => {
    let isFree = false;
    return () => {
      if (isFree) return;
      isFree = true;
      const [next] = waiting;
      if (next) next();
      else taken -= 1;
    };
  };
  return {
    take(signal) {
      const { promise, resolve, reject } = Promise.withResolvers<() => void>();
      if (taken < max) {
        taken += 1;
        resolve(place());
        return promise;
      }
      const stop = () => {
        waiting.delete(next);
        signal.removeEventListener('abort', leave);
        cancel();
      };
      // The place goes from hand to hand.
      const next = () => {
        stop();
        resolve(place());
      };
      const leave = () => {
        stop();
        reject(new GatewayError('CLIENT_GONE', { reason: 'left while a redirect was to be followed' }));
      };
      const cancel = clock.after(waitMs, () => {
        stop();
        reject(new GatewayError('QUEUE_FULL', { retryAfterMs: COME_BACK_MS, reason: `${max} redirects are followed` }));
      });
      waiting.add(next);
      signal.addEventListener('abort', leave, { once: true });
      if (signal.aborted) leave();
      return promise;
    },
    get taken() {
      return taken;
    },
  };
}
