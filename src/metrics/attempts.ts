/** What is counted of the attempts at the upstream, of what was tried again, and of the waiting for slots. */
import { CLASSES, GIVE_UPS, OUTCOMES, RETRIED, statusLabel } from './labels.ts';
import { HTTP_BUCKETS } from './requests.ts';
import { each, type Series } from './series.ts';

/** One attempt: what for, how it ended and when its answer began; `isOverRate`: the upstream refused it for the rate. */
export type Attempted = {
  method: string;
  kind: string;
  outcome: (typeof OUTCOMES)[number];
  status: number | undefined;
  isOverRate: boolean;
  durationMs: number;
};

/** Where the way out tells what happens on it. */
export type OutboundWatch = {
  attempted(attempt: Attempted): void;
  retried(after: (typeof OUTCOMES)[number]): void;
  gaveUp(reason: (typeof GIVE_UPS)[number]): void;
  waited(kind: string, waitedMs: number): void;
};

const WAIT_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60];

/** Makes the functions that count on the way out. */
export function countAttempts(series: Series): OutboundWatch {
  const duration = series.histogram(
    'http_client_request_duration_seconds',
    'Time from an attempt at the upstream to the head of its answer, or to the end of its refusal.',
    HTTP_BUCKETS,
    ['http_request_method', 'http_response_status_code', 'error_type'],
  );
  const throttled = series.counter(
    'chatfiles_upstream_throttled_total',
    'Attempts that the upstream refused for the rate. The objective: this never rises.',
    ['class'],
    each('class', CLASSES),
  );
  const attempts = series.counter(
    'chatfiles_upstream_attempts_total',
    'Attempts at the upstream, by how they ended.',
    ['outcome'],
    each('outcome', OUTCOMES),
  );
  const retries = series.counter(
    'chatfiles_retries_total',
    'Further attempts, by how the one before had ended.',
    ['outcome'],
    each('outcome', RETRIED),
  );
  const givenUp = series.counter(
    'chatfiles_retries_given_up_total',
    'Failed requests that were not tried again, by what forbade it.',
    ['reason'],
    each('reason', GIVE_UPS),
  );
  const wait = series.histogram(
    'chatfiles_quota_wait_seconds',
    'Time that an attempt waited for its slot.',
    WAIT_BUCKETS,
    ['class'],
    each('class', CLASSES),
  );

  return {
    attempted({ method, kind, outcome, status, isOverRate, durationMs }) {
      duration({
        http_request_method: method,
        http_response_status_code: status === undefined ? '' : statusLabel(status),
        error_type: status === undefined ? outcome : '',
      })(durationMs / 1000);
      attempts({ outcome })();
      if (isOverRate) throttled({ class: kind })();
    },
    retried: (outcome) => retries({ outcome })(),
    gaveUp: (reason) => givenUp({ reason })(),
    waited: (kind, waitedMs) => wait({ class: kind })(waitedMs / 1000),
  };
}
