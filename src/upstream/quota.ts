import type { Clock } from '../clock.ts';
import type { Slots } from '../quota/slots.ts';
import { isThrottled, saysRate } from './retry-table.ts';
import type { Layer } from './send.ts';
import { type OutboundWatch, UNWATCHED } from './watch.ts';

/** Lets each attempt wait for its slot, and tells the quota how the upstream took it; one that was refused stands first. */
export function withQuota(
  slots: Pick<Slots, 'acquire'>,
  clock: Clock,
  watch: Pick<OutboundWatch, 'waited'> = UNWATCHED,
): Layer {
  return (next) => async (request) => {
    const { turn, trail, signal, body, trace } = request;
    const step = trace?.step('queue', { 'chatfiles.class': turn.kind });
    const askedAt = clock.monotonic();
    const place = {
      ...turn,
      bytes: body?.bytes ?? 0,
      maxWaitMs: Math.max(0, turn.maxWaitMs - trail.queuedMs),
      isRetry: trail.attempts > 0,
      signal,
    };
    const slot = await slots.acquire(place).finally(() => {
      trail.queuedMs += clock.monotonic() - askedAt;
      step?.end();
    });
    watch.waited(turn.kind, clock.monotonic() - askedAt);
    const onDeparture = () => {
      slot.departed();
      request.onDeparture?.();
    };
    const outcome = await next({ ...request, onDeparture });
    if (isThrottled(outcome)) {
      if (saysRate(request)) slot.refused();
    } else if (outcome.kind !== 'failure') slot.accepted();
    return outcome;
  };
}
