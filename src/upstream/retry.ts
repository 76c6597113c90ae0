import type { Clock } from '../clock.ts';
import type { RetryConfig } from './config.ts';
import type { Layer, OutboundRequest, Outcome } from './send.ts';
import { isThrottled, mayRetry, saysRate } from './retry-table.ts';
import { readRetryAfterMs } from './retry-after.ts';
import { endOf, type GaveUp, type OutboundWatch, UNWATCHED } from './watch.ts';

/** The first pause after a failure that names no time to come back; it doubles, and chance takes up to half of it away. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1000;

/** Tries a request again while the table of outcomes, its budget and its client allow. */
export function withRetry(
  config: RetryConfig,
  clock: Clock,
  watch: Pick<OutboundWatch, 'retried' | 'gaveUp'> = UNWATCHED,
  chance: () => number = Math.random,
): Layer {
  const giveUp = (reason: GaveUp, outcome: Outcome): Outcome => {
    watch.gaveUp(reason);
    return outcome;
  };
  return (next) => async (request) => {
    const startedAt = clock.monotonic();
    // Time in line has a bound of its own.
    const spentMs = () => clock.monotonic() - startedAt - request.trail.queuedMs;
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await next(request);
      const attempts = isThrottled(outcome) && saysRate(request) ? config.throttledAttempts : config.attempts;
      if (request.signal.aborted) return outcome;
      if (!mayRetry(request, outcome)) return isTrouble(outcome) ? giveUp('unsafe', outcome) : outcome;
      if (attempt >= attempts) return giveUp('attempts', outcome);
      const pauseMs = pauseAfter(outcome, attempt, chance, clock.now());
      if (pauseMs > config.maxRetryAfterMs) return giveUp('retry_after', outcome);
      if (spentMs() + pauseMs >= config.budgetMs) return giveUp('budget', outcome);
      await pause(pauseMs, clock, request);
      if (request.signal.aborted) return outcome;
      watch.retried(endOf(outcome));
    }
  };
}

/** What might have gone well the next time, had it been safe to try. */
const isTrouble = (outcome: Outcome): boolean =>
  (outcome.kind === 'failure' && outcome.isLasting !== true) ||
  (outcome.kind === 'refusal' && (outcome.status === 502 || outcome.status === 504));

/** How long to wait before the next attempt: what the upstream asked for, else backoff with jitter; a stale socket needs none. */
function pauseAfter(outcome: Outcome, attempt: number, chance: () => number, now: number): number {
  if (outcome.kind === 'failure' && outcome.reused) return 0;
  const asked = outcome.kind === 'refusal' && isThrottled(outcome) ? readRetryAfterMs(outcome.headers, now) : undefined;
  const backoffMs = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS) * (1 - chance() / 2);
  return Math.max(asked ?? 0, backoffMs);
}

function pause(ms: number, clock: Clock, { signal }: OutboundRequest): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = clock.after(ms, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}
