import { describe, expect, it } from 'vitest';
import type { OutboundRequest, Outcome } from '../../src/upstream/send.ts';
import { createPlainTracing } from '../../src/tracing/trace.ts';
import { type Attempted, UNWATCHED, withWatch } from '../../src/upstream/watch.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const ID = '6b29fc40-ca47-4067-b31d-00dd010662da';
const failure = { kind: 'failure', sent: 'whole', reused: false, error: new Error('gone') };
const refusal = (status: number, error?: string) => ({ kind: 'refusal', status, error });

/** What is told of an attempt that ends so. */
async function told(outcome: object | Error, { kind = 'download', isGone = false, propagate = true } = {}) {
  const clock = createFakeClock();
  const attempts: Attempted[] = [];
  const sent: OutboundRequest[] = [];
  const watch = { ...UNWATCHED, attempted: (attempt: Attempted) => void attempts.push(attempt) };
  const send = withWatch(
    { propagate, url: 'https://upstream.test' },
    watch,
    clock,
  )(async (request) => {
    sent.push(request);
    await clock.advance(40);
    if (outcome instanceof Error) throw outcome;
    return outcome as Outcome;
  });
  const request = {
    method: 'GET',
    headers: { accept: '*/*' },
    turn: { kind },
    trail: { attempts: 0 },
    trace: createPlainTracing().begin({}, ID),
    signal: isGone ? AbortSignal.abort() : new AbortController().signal,
  } as unknown as OutboundRequest;
  await send(request).catch(() => {});
  await send(request).catch(() => {});
  return { first: attempts[0], sent: sent.map(({ headers }) => headers) };
}

describe('an attempt', () => {
  it.each([
    ['answered', 200, false, { kind: 'answer', status: 200 }],
    ['answered', 302, false, { kind: 'answer', status: 302 }],
    ['throttled', 503, true, refusal(503)],
    ['throttled', 429, true, refusal(429, 'reach_limit')],
    ['exhausted', 429, false, refusal(429, 'resource_limited')],
    ['refused', 404, false, refusal(404)],
    ['failed', 500, false, refusal(500)],
    ['unreachable', undefined, false, { ...failure, cause: 'unreachable' }],
    ['timeout', undefined, false, { ...failure, cause: 'timeout' }],
    ['reset', undefined, false, { ...failure, cause: 'reset' }],
    ['broken', undefined, false, { ...failure, cause: 'broken' }],
    ['fault', undefined, false, new Error('the spool is gone')],
  ])('is told as %s (%s; over the rate: %s)', async (outcome, status, isOverRate, ended) => {
    const { first } = await told(ended);
    expect(first).toEqual({ method: 'GET', kind: 'download', outcome, status, isOverRate, durationMs: 40 });
  });

  it("is not the upstream's failure when its client has left", async () => {
    expect((await told({ ...failure, cause: 'reset' }, { isGone: true })).first?.outcome).toBe('left');
  });

  it.each([
    ['not over the rate, since the path may not work', 503, undefined, false],
    ['over the rate where the answer says so', 429, 'reach_limit', true],
  ])('beside the files is %s', async (_, status, error, isOverRate) => {
    expect((await told(refusal(status, error), { kind: 'sibling' })).first).toMatchObject({
      outcome: 'throttled',
      isOverRate,
    });
  });

  it('bears the trace, with a span of its own each time', async () => {
    const { sent } = await told({ kind: 'answer', status: 200 });
    const spans = sent.map(({ traceparent = '' }) => /^00-(\w{32})-(\w{16})-00$/.exec(traceparent)?.slice(1));
    expect(spans.map((span) => span?.[0])).toEqual([ID.replaceAll('-', ''), ID.replaceAll('-', '')]);
    expect(spans[0]?.[1]).not.toBe(spans[1]?.[1]);
    expect(sent[0]).toMatchObject({ accept: '*/*' });
  });

  it('bears nothing of it where traces do not leave the house', async () => {
    expect((await told({ kind: 'answer', status: 200 }, { propagate: false })).sent[0]).toEqual({ accept: '*/*' });
  });
});
