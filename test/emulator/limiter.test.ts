import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createArrivals, createPeakMeter } from '../../src/emulator/arrivals.ts';
import { createLimiter, limiterSchema } from '../../src/emulator/limiter.ts';
import type { LimiterOptions } from '../../src/emulator/limiter.ts';
import { json, startCloud } from './kit.ts';

/** A limiter whose clock stands until it is told otherwise. */
function held(options: Partial<LimiterOptions>) {
  const clock = { at: 1_000_000_000 };
  const limiter = createLimiter(options, () => clock.at);
  /** How many of `count` requests that arrive at once are accepted. */
  const burst = (count: number, source = '10.0.0.1'): number =>
    Array.from({ length: count }, () => limiter.admit(source, 'upload')).filter(({ accepted }) => accepted).length;
  return { clock, limiter, burst };
}

test('the page is the default: 30 a second in a sliding log for the three interfaces together, and 503', () => {
  expect(limiterSchema.parse({})).toEqual({
    algorithm: 'sliding-log',
    perSecond: 30,
    appPerSecond: 0,
    scope: 'together',
    phaseMs: 0,
    burst: 5,
    status: 503,
    retryAfter: 'none',
    countRefused: false,
  });
});

describe('bursts of 40 at these times are accepted as', () => {
  const ALL: [LimiterOptions['algorithm'], Partial<LimiterOptions>, number[], number[]][] = [
    ['sliding-log', {}, [0, 999, 1000, 1001, 2000], [30, 0, 30, 0, 30]],
    ['sliding-log', { countRefused: true }, [0, 999, 1000, 1999, 2999], [30, 0, 0, 0, 30]],
    ['fixed-window', {}, [0, 999, 1000, 1999, 2000], [30, 0, 30, 0, 30]],
    ['fixed-window', { phaseMs: 400 }, [0, 399, 400, 1399, 1400], [30, 0, 30, 0, 30]],
    ['token-bucket', {}, [0, 100, 200, 1200, 9000], [30, 3, 3, 30, 30]],
    ['token-bucket', { countRefused: true }, [0, 500, 1500], [30, 5, 0]],
    ['small-burst', {}, [0, 100, 200, 1200, 9000], [5, 3, 3, 5, 5]],
    ['small-burst', { burst: 2, perSecond: 10 }, [0, 99, 100, 1000], [2, 0, 1, 2]],
    ['off', {}, [0, 1], [40, 40]],
  ];
  test.each(ALL)('%s %j at %j: %j', (algorithm, options, times, accepted) => {
    const { clock, burst } = held({ algorithm, ...options });
    const start = clock.at;
    expect(
      times.map((at) => {
        clock.at = start + at;
        return burst(40);
      }),
    ).toEqual(accepted);
  });
});

describe('where apps are counted', () => {
  const send = (limiter: ReturnType<typeof held>['limiter'], count: number, source: string, app: string) =>
    Array.from({ length: count }, () => limiter.admit(source, 'upload', app)).filter(({ accepted }) => accepted).length;

  test('each has its own rate, from whatever addresses', () => {
    const { clock, limiter } = held({ perSecond: 1_000_000, appPerSecond: 100 });
    expect([send(limiter, 80, '10.0.0.1', 'o/a'), send(limiter, 80, '10.0.0.2', 'o/a')]).toEqual([80, 20]);
    expect(send(limiter, 150, '10.0.0.1', 'o/b')).toBe(100);
    clock.at += 1000;
    expect(send(limiter, 150, '10.0.0.3', 'o/a')).toBe(100);
  });

  test('addresses keep theirs, and what an app may not send does not count there', () => {
    const { limiter } = held({ perSecond: 30, appPerSecond: 20 });
    expect(['o/a', 'o/b', 'o/c'].map((app) => send(limiter, 25, '10.0.0.1', app))).toEqual([20, 10, 0]);
  });

  test('interfaces may have theirs apart', () => {
    const { limiter } = held({ perSecond: 1000, appPerSecond: 2, scope: 'each' });
    expect(send(limiter, 5, 'x', 'o/a')).toBe(2);
    expect(limiter.admit('x', 'download', 'o/a').accepted).toBe(true);
  });

  test('the excess gets 429 over HTTP, each app for itself', async () => {
    const limiter = { algorithm: 'sliding-log', appPerSecond: 2, status: 429 } as const;
    await using cloud = await startCloud({ limiter, now: () => 1_000_000 });
    const get = async (app: string) => (await fetch(`${cloud.url}/acme/${app}/chatfiles/x`)).status;
    const statuses = [];
    for (const app of ['a', 'a', 'a', 'b']) statuses.push(await get(app));
    expect(statuses).toEqual([401, 401, 429, 401]);
  });
});

const gaps = fc.array(fc.double({ min: 0, max: 120, noNaN: true }), { minLength: 50, maxLength: 400 });

/** The most of these times that lie in any half-open second. */
const densest = (times: number[]): number =>
  Math.max(0, ...times.map((start) => times.filter((at) => at >= start && at < start + 1000).length));

const acceptedTimes = (algorithm: LimiterOptions['algorithm'], steps: number[]): number[] => {
  const { clock, limiter } = held({ algorithm });
  return steps.flatMap((gap) => {
    clock.at += gap;
    return limiter.admit('10.0.0.1', 'download').accepted ? [clock.at] : [];
  });
};

test.each([
  ['sliding-log', 30],
  ['fixed-window', 60],
  ['token-bucket', 60],
  ['small-burst', 35],
] as const)('%s never accepts more than its bound in any second, whatever the arrivals', (algorithm, bound) => {
  fc.assert(
    fc.property(gaps, (steps) => densest(acceptedTimes(algorithm, steps)) <= bound),
    { numRuns: 60 },
  );
});

test.each(['sliding-log', 'fixed-window', 'token-bucket', 'small-burst'] as const)(
  '%s accepts a request that waited as long as it was told, and not a millisecond sooner',
  (algorithm) => {
    fc.assert(
      fc.property(gaps, (steps) => {
        const { clock, limiter } = held({ algorithm });
        for (const gap of steps) {
          clock.at += gap / 10;
          const admission = limiter.admit('a', 'upload');
          if (admission.accepted) continue;
          const refusedAt = clock.at;
          clock.at = refusedAt + admission.retryAfterMs - 1;
          if (admission.retryAfterMs > 1 && limiter.admit('a', 'upload').accepted) return false;
          clock.at = refusedAt + admission.retryAfterMs + 1e-3;
          if (!limiter.admit('a', 'upload').accepted) return false;
        }
        return true;
      }),
      { numRuns: 40 },
    );
  },
);

test('every source has its own allowance, and by a switch every interface too', () => {
  const { limiter, burst } = held({});
  expect([burst(40, '10.0.0.1'), burst(40, '10.0.0.2')]).toEqual([30, 30]);
  expect(limiter.admit('10.0.0.1', 'thumbnail').accepted).toBe(false);
  limiter.set({ scope: 'each' });
  expect([burst(40), burst(40)]).toEqual([30, 0]);
  expect(limiter.admit('10.0.0.1', 'thumbnail').accepted).toBe(true);
});

test('a changed setting keeps the others and begins anew', () => {
  const { limiter, burst } = held({ status: 429 });
  burst(40);
  limiter.set({ perSecond: 3 });
  expect(burst(40)).toBe(3);
  expect(limiter.options).toMatchObject({ status: 429, perSecond: 3 });
  expect(() => limiter.set({ perSecond: 0 })).toThrow(/perSecond/);
});

test('the source that was seen longest ago is forgotten when there are too many', () => {
  const { limiter, burst } = held({ perSecond: 1 });
  for (let number = 0; number < 10_001; number += 1) limiter.admit(`source ${number}`, 'upload');
  expect(burst(1, 'source 10000')).toBe(0);
  expect(burst(1, 'source 0')).toBe(1);
});

test('the peak meter finds the densest second', () => {
  fc.assert(
    fc.property(gaps, (steps) => {
      let at = 0;
      const meter = createPeakMeter();
      const times = steps.map((gap) => (at += gap));
      for (const time of times) meter.note(time);
      return meter.peak === densest(times);
    }),
    { numRuns: 40 },
  );
});

test('long runs do not grow the meter beyond what it needs', () => {
  const arrivals = createArrivals();
  for (let at = 0; at < 200_000; at += 10) arrivals.note('upload', true, at);
  expect(arrivals.counts().maxPerSecond.upload).toBe(100);
});

describe('over HTTP', () => {
  const KEYS = ['error', 'exception', 'timestamp', 'duration', 'error_description'];
  const ask = (url: string, init: RequestInit = {}) => fetch(`${url}/acme/chat/chatfiles/x`, init);

  test('the 31st request of a second gets 503 before anything is asked about its token', async () => {
    const now = Date.now();
    await using cloud = await startCloud({ limiter: {}, now: () => now });
    for (let count = 0; count < 10; count += 1) {
      expect((await ask(cloud.url)).status).toBe(401);
      expect((await ask(cloud.url, { headers: { thumbnail: 'true' } })).status).toBe(401);
      expect((await fetch(`${cloud.base}/chatfiles`, { method: 'POST' })).status).toBe(401);
    }
    const refused = await ask(cloud.url);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe(null);
    const body = await json(refused);
    expect(Object.keys(body)).toEqual(KEYS);
    expect(body.error_description).toBe('Service Unavailable');
    expect((await cloud.upload(Buffer.alloc(2_000_000))).status).toBe(503);
    expect(cloud.stats()).toMatchObject({ arrived: 32, accepted: 30, refused: 2, storedFiles: 0 });
    expect(cloud.stats().maxPerSecond).toEqual({ arrived: 32, accepted: 30, upload: 10, download: 10, thumbnail: 10 });
    expect(cloud.received().filter(({ limited }) => limited)).toHaveLength(2);
  });

  test('logins, registrations and preflights are free', async () => {
    const now = Date.now();
    await using cloud = await startCloud({ limiter: { perSecond: 1 }, now: () => now });
    await ask(cloud.url);
    expect((await fetch(`${cloud.base}/token`, { method: 'POST', body: '{}' })).status).toBe(400);
    expect((await ask(cloud.url, { method: 'OPTIONS' })).status).toBe(200);
    expect((await ask(cloud.url)).status).toBe(503);
  });

  test('the refusal can be a 429 with the time to come back, in seconds or as a date', async () => {
    const now = Date.UTC(2026, 0, 1);
    await using cloud = await startCloud({
      limiter: { perSecond: 1, status: 429, retryAfter: 'seconds' },
      now: () => now,
    });
    await ask(cloud.url);
    const refused = await ask(cloud.url);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await json(refused)).toMatchObject({
      error: 'reach_limit',
      error_description: 'This request has reached api limit',
    });
    cloud.setLimiter({ retryAfter: 'date' });
    await ask(cloud.url);
    expect((await ask(cloud.url)).headers.get('retry-after')).toBe('Thu, 01 Jan 2026 00:00:01 GMT');
  });
});
