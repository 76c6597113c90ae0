import type { Clock } from '../clock.ts';
import type { GatewayError } from '../errors.ts';
import type { Place } from './lane.ts';

/** What a request is for; each kind may have an allowance of its own. `sibling`: a path beside those of the files. */
export type Kind = 'upload' | 'download' | 'thumbnail' | 'sibling';

/**
 * A request for leave to make an attempt. `isRetry`: it had a slot and was refused, so it stands first. `isSpare`: it is
 * worth nothing but what nobody else needs, so it does not stand in line at all.
 */
export type SlotRequest = Place & {
  kind: Kind;
  bytes: number;
  maxWaitMs: number;
  isRetry: boolean;
  isSpare: boolean;
  signal: AbortSignal;
};

/**
 * A slot in use: `departed` tells that the attempt's head goes out now, `refused` that the upstream refused it for its
 * rate, `accepted` that it did not.
 */
export type SlotInUse = { departed(): void; refused(): void; accepted(): void };

/** One that stands in the queue, until it is granted a slot, is refused or leaves; `until` in ms of the monotonic clock. */
export type Waiter = SlotRequest & {
  until: number;
  grant(slot: SlotInUse): void;
  refuse(error: GatewayError): void;
};

/** A waiter and what becomes of it; `onLeave` and `onDeadline` are called at most one of them, and never after its end. */
export function createWaiter(
  request: SlotRequest,
  clock: Clock,
  { onLeave, onDeadline }: { onLeave: (waiter: Waiter) => void; onDeadline: (waiter: Waiter) => void },
): { waiter: Waiter; slot: Promise<SlotInUse> } {
  const { promise: slot, resolve, reject } = Promise.withResolvers<SlotInUse>();
  const { signal, maxWaitMs } = request;
  const leave = () => onLeave(waiter);
  const cancelDeadline = clock.after(maxWaitMs, () => onDeadline(waiter));
  const end = () => {
    signal.removeEventListener('abort', leave);
    cancelDeadline();
  };
  signal.addEventListener('abort', leave, { once: true });
  const waiter: Waiter = {
    ...request,
    until: clock.monotonic() + maxWaitMs,
    grant(granted) {
      end();
      resolve(granted);
    },
    refuse(error) {
      end();
      reject(error);
    },
  };
  return { waiter, slot };
}
