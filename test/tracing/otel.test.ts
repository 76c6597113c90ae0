import { describe, expect, it, onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { createOtelTracing } from '../../src/tracing/otel.ts';
import type { Ending } from '../../src/tracing/trace.ts';
import { startCollector } from '../kit/collector.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const ID = '6b29fc40-ca47-4067-b31d-00dd010662da';
const ENDING: Ending = {
  id: ID,
  method: 'GET',
  route: 'download',
  status: 200,
  error: undefined,
  source: undefined,
  app: 'o/a',
  client: '192.0.2.1',
  cache: undefined,
  attempts: 1,
  bytesIn: 0,
  bytesOut: 5,
};

async function open(more: { sampleRatio?: number; path?: string; clock?: Clock } = {}) {
  const collector = await startCollector();
  onTestFinished(() => collector[Symbol.asyncDispose]());
  const notices: { message: string; details: object }[] = [];
  const notice = (_level: string, message: string, details: object = {}) => void notices.push({ message, details });
  const tracing = createOtelTracing(
    { otlpUrl: `${collector.url}${more.path ?? ''}`, sampleRatio: more.sampleRatio ?? 1, version: '1', instance: 'i' },
    { clock: more.clock ?? systemClock, notice },
  );
  return { collector, notices, tracing, flush: () => tracing[Symbol.asyncDispose]() };
}

describe('a recorded trace', () => {
  it('has the request below its sender, and its steps below the request', async () => {
    const { collector, tracing, flush } = await open();
    const trace = tracing.begin({ traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=1' }, ID);
    trace.step('queue', { 'chatfiles.class': 'download' }).end();
    const attempt = trace.step('attempt', { 'http.request.method': 'GET' });
    attempt.end({ 'http.response.status_code': 503 }, '503');
    trace.end(ENDING);
    await flush();
    const [queue, sent, request] = collector.spans;
    expect(collector.spans.map(({ name, kind }) => [name, kind])).toEqual([
      ['queue', 1],
      ['GET', 3],
      ['GET download', 2],
    ]);
    expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    expect(request?.parentSpanId).toBe(SPAN);
    expect([queue?.parentSpanId, sent?.parentSpanId]).toEqual([request?.spanId, request?.spanId]);
    expect(attempt.fields).toEqual({ traceparent: `00-${TRACE}-${sent?.spanId}-01`, tracestate: 'a=1' });
    expect(sent).toMatchObject({ status: 2, attributes: { 'error.type': '503', 'http.response.status_code': 503 } });
    expect(request).toMatchObject({ status: 0, attributes: { 'http.route': 'download', 'chatfiles.request_id': ID } });
    expect(collector.resource).toMatchObject({ 'service.name': 'chatfiles-gateway', 'service.version': '1' });
    expect(collector.requests[0]?.path).toBe('POST /v1/traces');
  });

  it('begins by the name of the request where none came', async () => {
    const { collector, tracing, flush } = await open();
    const trace = tracing.begin({}, ID);
    trace.end(ENDING);
    await flush();
    expect(trace.traceId).toBe(ID.replaceAll('-', ''));
    expect(collector.spans[0]).toMatchObject({ traceId: trace.traceId });
    expect(collector.spans[0]?.parentSpanId ?? '').toBe('');
  });

  it.each([
    ['the gateway failed at', { status: 502, error: 'UPSTREAM_UNREACHABLE', source: 'upstream' }, 2],
    ['its client got wrong', { status: 401, error: 'TOKEN_MISSING', source: 'downstream' }, 0],
  ])('calls it an error only where it is one of ours: what %s', async (_, ending, status) => {
    const { collector, tracing, flush } = await open();
    tracing.begin({}, ID).end({ ...ENDING, ...ending });
    await flush();
    expect(collector.spans[0]).toMatchObject({ status, attributes: { 'error.type': ending.error } });
  });

  it('goes to the path that was given', async () => {
    const { collector, tracing, flush } = await open({ path: '/team/otlp' });
    tracing.begin({}, ID).end(ENDING);
    await flush();
    expect(collector.requests.map(({ path }) => path)).toEqual(['POST /team/otlp']);
  });
});

describe('what is recorded', () => {
  it('is what the sender of a trace says, and of the others a part', async () => {
    const { collector, tracing, flush } = await open({ sampleRatio: 0 });
    for (const flags of ['00', '01']) {
      const trace = tracing.begin({ traceparent: `00-${TRACE}-${SPAN}-${flags}` }, ID);
      const { fields } = trace.step('attempt');
      expect(fields['traceparent']).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-${flags}$`));
      trace.end({ ...ENDING, status: Number(flags) });
    }
    const own = tracing.begin({}, ID);
    expect(own.step('attempt').fields['traceparent']).toMatch(/-00$/);
    own.end(ENDING);
    await flush();
    expect(collector.spans.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([1]);
  });

  it('is about the part that was asked for', async () => {
    const { collector, tracing, flush } = await open({ sampleRatio: 0.5 });
    for (let i = 0; i < 400; i += 1) tracing.begin({}, crypto.randomUUID()).end(ENDING);
    await flush();
    // A fair coin falls outside of this once in a million times.
    expect(collector.spans.length).toBeGreaterThan(150);
    expect(collector.spans.length).toBeLessThan(250);
  });
});

describe('a collector that takes nothing', () => {
  it('is told of once, with a word of why, and costs no request anything', async () => {
    const { collector, notices, tracing, flush } = await open();
    collector.status = 400;
    // One batch goes out as soon as it is full.
    const trace = (count: number) => {
      for (let i = 0; i < count; i += 1) tracing.begin({}, ID).end(ENDING);
    };
    trace(512);
    await expect.poll(() => notices.length).toBe(1);
    expect(notices[0]).toEqual({
      message: expect.stringContaining('tracing.otlpUrl') as string,
      details: { collector: new URL(collector.url).host, lost: 512, reason: expect.any(String) as string },
    });
    trace(512);
    await expect.poll(() => collector.requests.length).toBe(2);
    collector.status = 200;
    trace(512);
    await flush();
    expect(notices.map(({ details }) => 'lost' in details && details.lost)).toEqual([512, 1024]);
    expect(notices[1]?.message).toContain('again');
  });

  it('fills no memory: what it cannot take is dropped', async () => {
    const { collector, tracing, flush } = await open();
    for (let i = 0; i < 20_000; i += 1) tracing.begin({}, ID).end(ENDING);
    await flush();
    // One batch was under way, and four thousand waited.
    expect(collector.spans.length).toBeLessThanOrEqual(512 + 4096);
    expect(collector.spans.length).toBeGreaterThanOrEqual(4096);
  });

  it('does not hold up an end for long', async () => {
    const clock = createFakeClock();
    const { collector, tracing, flush } = await open({ clock });
    // As one that is away, this one makes its sender try again and again, for ten seconds.
    collector.status = 503;
    tracing.begin({}, ID).end(ENDING);
    const ended = flush();
    await expect.poll(() => collector.requests.length).toBe(1);
    await clock.advance(3000);
    await ended;
  });
});
