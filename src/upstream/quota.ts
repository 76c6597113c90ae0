import type { Clock } from '../clock.ts';
import type { Slots } from '../quota/slots.ts';
import type { Layer } from './send.ts';

/** Lets each attempt wait for its slot; no slot is held while a request backs off. */
export function withQuota(slots: Slots, clock: Clock): Layer {
  return (next) => async (request) => {
    const askedAt = clock.monotonic();
    await slots.acquire(request.signal);
    request.trail.queuedMs += clock.monotonic() - askedAt;
    return next(request);
  };
}
