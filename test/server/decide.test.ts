import { describe, expect, it } from 'vitest';
import { type ErrorCode, isDenial } from '../../src/errors.ts';
import { allow, deny } from '../../src/policy/decision.ts';
import { decide } from '../../src/server/decide.ts';
import type { Exchange } from '../../src/server/exchange.ts';
import { createPlainTracing } from '../../src/tracing/trace.ts';

const exchange = (): Exchange => ({
  id: 'an-id',
  startedAt: 0,
  signal: new AbortController().signal,
  client: '192.0.2.1',
  trail: { attempts: 0, queuedMs: 0, upstreamMs: 0 },
  trace: createPlainTracing().begin({}, '6b29fc40-ca47-4067-b31d-00dd010662da'),
  route: 'upload',
  bytesIn: 0,
  bytesOut: 0,
});

describe('a policy', () => {
  it('ends the request when it is on', () => {
    const one = exchange();
    const no = { ...deny('CONTENT_REFUSED', 'why'), detail: 'what' };
    expect(() => decide('on', no, one)).toThrow(
      expect.objectContaining({ code: 'CONTENT_REFUSED', reason: 'why', detail: 'what' }) as Error,
    );
    expect(one.wouldDeny).toBeUndefined();
  });

  it('only writes it down when it reports, and the first "no" stays', () => {
    const one = exchange();
    expect(decide('report', allow, one)).toBe(true);
    expect(one.wouldDeny).toBeUndefined();
    expect(decide('report', deny('DESTINATION_UNKNOWN', 'first'), one)).toBe(false);
    expect(decide('report', deny('TOKEN_EXPIRED', 'second'), one)).toBe(false);
    expect(one.wouldDeny).toEqual({ code: 'DESTINATION_UNKNOWN', reason: 'first' });
  });
});

describe('a failure', () => {
  it.each<[ErrorCode, boolean]>([
    ['DESTINATION_UNKNOWN', true],
    ['TOKEN_EXPIRED', true],
    ['TOKEN_REFUSED', true],
    ['CONTENT_REFUSED', true],
    ['FILE_INFECTED', true],
    ['SCAN_UNAVAILABLE', true],
    ['BODY_TOO_LARGE', true],
    ['CLIENT_LIMITED', true],
    ['CLIENT_GONE', false],
    ['REQUEST_TOO_SLOW', false],
    ['QUEUE_FULL', false],
    ['SPOOL_FULL', false],
    ['UPSTREAM_TIMEOUT', false],
    ['UPSTREAM_REFUSED', false],
  ])('%s is a decision against the request: %s', (code, expected) => {
    expect(isDenial(code)).toBe(expected);
  });
});
