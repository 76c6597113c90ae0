import { describe, expect, it } from 'vitest';
import { type ErrorCode, GatewayError, KINDS } from '../../src/errors.ts';
import { speak, statusIn } from '../../src/server/dialect.ts';
import { errorBody } from '../../src/server/fail.ts';

const USUAL = { throttledStatus: 503, unavailableStatus: 502 };
const CODES = Object.keys(KINDS) as ErrorCode[];
const told = (code: ErrorCode, dialect = USUAL) => speak(new GatewayError(code), dialect);

describe('an error', () => {
  it.each(CODES)('%s is told as it is, unless a dialect is chosen', (code) => {
    expect(told(code)).toEqual({ code, status: KINDS[code].status });
  });

  it('says reach_limit with 429 when only the rate was too high, where that is what clients know', () => {
    const dialect = { ...USUAL, throttledStatus: 429 };
    const changed = CODES.filter((code) => told(code, dialect).code !== code);
    expect(changed.toSorted()).toEqual(['QUEUE_FULL', 'UPSTREAM_THROTTLED']);
    const { status, code } = told('QUEUE_FULL', dialect);
    expect([status, JSON.parse(errorBody({ code }, 1, 2))]).toEqual([
      429,
      expect.objectContaining({ error: 'reach_limit' }),
    ]);
  });

  it('is never 502 or 504 where clients look for another host then', () => {
    const dialect = { ...USUAL, unavailableStatus: 503 };
    for (const code of CODES) {
      const { status } = told(code, dialect);
      expect([code, status]).toEqual([code, [502, 504].includes(KINDS[code].status) ? 503 : KINDS[code].status]);
    }
    expect([502, 504, 500, 501, 413, 200].map((status) => statusIn(status, dialect))).toEqual([
      503, 503, 500, 501, 413, 200,
    ]);
    expect(speak(new GatewayError('UPSTREAM_REFUSED', { status: 504 }), dialect).status).toBe(503);
  });

  it.each(CODES)("%s has Easemob's keys, and never the one that means success", (code) => {
    for (const throttledStatus of [503, 429]) {
      for (const unavailableStatus of [502, 503]) {
        const body = errorBody(
          told(code, { throttledStatus, unavailableStatus }),
          1_700_000_000_000,
          1_700_000_000_005,
        );
        expect(Object.keys(JSON.parse(body) as object).toSorted()).toEqual([
          'duration',
          'error',
          'error_description',
          'exception',
          'timestamp',
        ]);
      }
    }
  });
});
