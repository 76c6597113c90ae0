import type { Clock } from '../clock.ts';
import { isThrottled } from '../upstream/retry-table.ts';
import type { Outcome } from '../upstream/send.ts';

/** Whether the upstream is taken to be down. */
export type Outage = {
  /** Learns from how a request ended, retries included. */
  note(outcome: Outcome): void;
  /** The last request found it down, a few seconds ago at most: the next one after that finds out whether it still is. */
  readonly isOn: boolean;
};

/** How long one failure speaks for, in ms. */
const SPEAKS_MS = 5000;

/** Whether an outcome says that the upstream is down: it did not answer, or said itself that it cannot, or not so much. */
export const saysDown = (outcome: Outcome): boolean =>
  outcome.kind === 'failure' || isThrottled(outcome) || (outcome.kind === 'refusal' && outcome.status >= 500);

/** Opens the record of an upstream that is up. */
export function createOutage(clock: Clock): Outage {
  let failedAt = -Infinity;
  return {
    note(outcome) {
      failedAt = saysDown(outcome) ? clock.monotonic() : -Infinity;
    },
    get isOn() {
      return clock.monotonic() - failedAt < SPEAKS_MS;
    },
  };
}
