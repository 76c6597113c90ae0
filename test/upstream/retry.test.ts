import { describe, expect, it } from 'vitest';
import { withRetry } from '../../src/upstream/retry.ts';
import { UNWATCHED } from '../../src/upstream/watch.ts';
import type { OutboundRequest, Outcome } from '../../src/upstream/send.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const CONFIG = { attempts: 4, throttledAttempts: 4, budgetMs: 20_000, maxRetryAfterMs: 5000 };
const refusal = (status: number, retryAfter?: string): Outcome => ({
  kind: 'refusal',
  status,
  headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
  body: Buffer.alloc(0),
  error: undefined,
  description: undefined,
});
const done = { kind: 'answer', status: 200 } as Outcome;
const stale: Outcome = { kind: 'failure', cause: 'reset', sent: 'whole', reused: true, error: new Error('reset') };

function run(
  outcomes: Outcome[],
  more: Partial<typeof CONFIG> = {},
  signal = new AbortController().signal,
  method: OutboundRequest['method'] = 'POST',
  kind: OutboundRequest['turn']['kind'] = 'upload',
) {
  const clock = createFakeClock(0);
  const attempts: number[] = [];
  // No chance: a pause is always the longest it may be.
  const send = withRetry(
    { ...CONFIG, ...more },
    clock,
    UNWATCHED,
    () => 0,
  )(async () => {
    attempts.push(clock.monotonic());
    return outcomes[attempts.length - 1] ?? done;
  });
  const trail = { attempts: 0, queuedMs: 0, upstreamMs: 0 };
  const request = { method, signal, trail, turn: { kind } } as OutboundRequest;
  return { clock, attempts, outcome: send(request) };
}

describe('the retry layer', () => {
  it('backs off twice as long each time until the upstream takes the request', async () => {
    const { clock, attempts, outcome } = run([refusal(503), refusal(503), refusal(503)]);
    await clock.advance(10_000);
    expect(await outcome).toBe(done);
    expect(attempts).toEqual([0, 100, 300, 700]);
  });

  it('obeys the time to come back that the upstream names', async () => {
    const { clock, attempts, outcome } = run([refusal(503, '2')]);
    await clock.advance(10_000);
    await outcome;
    expect(attempts).toEqual([0, 2000]);
  });

  it.each([
    ['after the last attempt that is allowed', [refusal(503), refusal(503)], { throttledAttempts: 2 }, 2],
    ['when the upstream asks for more patience than allowed', [refusal(503, '6')], {}, 1],
    ['when the time to come back is past its budget', [refusal(503, '3')], { budgetMs: 3000 }, 1],
    ['after an outcome that the table does not allow', [refusal(400)], {}, 1],
  ])('gives the outcome back %s', async (_case, outcomes, config, count) => {
    const { clock, attempts, outcome } = run(outcomes, config);
    await clock.advance(60_000);
    expect(await outcome).toBe(outcomes.at(-1));
    expect(attempts).toHaveLength(count);
  });

  it('does not spend as many slots on a path beside the files, whose 503 may mean anything', async () => {
    const outcomes = Array.from({ length: 10 }, () => refusal(503));
    const limits = { attempts: 3, throttledAttempts: 8 };
    const { clock, attempts, outcome } = run(outcomes, limits, undefined, 'GET', 'sibling');
    await clock.advance(60_000);
    expect(await outcome).toBe(outcomes[2]);
    expect(attempts).toHaveLength(3);
  });

  it('does not wait after a stale connection', async () => {
    const { clock, attempts, outcome } = run([stale], {}, undefined, 'GET');
    await clock.advance(0);
    await outcome;
    expect(attempts).toEqual([0, 0]);
  });

  it('stops waiting for a client that has gone', async () => {
    const gone = new AbortController();
    const { clock, attempts, outcome } = run([refusal(503, '5')], {}, gone.signal);
    await clock.advance(1000);
    gone.abort();
    expect(await outcome).toMatchObject({ status: 503 });
    expect(attempts).toHaveLength(1);
    expect(clock.timers).toBe(0);
  });
});
