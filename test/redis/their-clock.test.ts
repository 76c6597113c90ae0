import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTheirClock } from '../../src/redis/their-clock.ts';

describe('the clock of a server', () => {
  it('is not known before the first exchange', () => {
    const theirs = createTheirClock(() => 0);
    expect([theirs.boundsAt(0), theirs.boundsHere(0)]).toEqual([undefined, undefined]);
  });

  it('is never told later or earlier than it can be, however long commands and answers take', () => {
    const exchange = fc.record({ pause: fc.nat(5000), there: fc.nat(1000), back: fc.nat(1000) });
    fc.assert(
      fc.property(
        fc.array(exchange, { minLength: 1, maxLength: 20 }),
        fc.integer({ min: -1e6, max: 1e12 }),
        fc.double({ min: -5e-4, max: 5e-4, noNaN: true }),
        (exchanges, offset, drift) => {
          let now = 1000;
          const trueTime = (here: number) => here + offset + (here - 1000) * drift;
          const theirs = createTheirClock(() => now);
          for (const { pause, there, back } of exchanges) {
            now += pause;
            const sentAt = now;
            now += there;
            const read = trueTime(now);
            now += back;
            expect(theirs.learn(sentAt, now, read)).toBe(true);
            for (const then of [now, now - 100, now - 300_000]) {
              const bounds = theirs.boundsAt(then);
              expect(bounds?.earliest).toBeLessThanOrEqual(trueTime(then));
              expect(bounds?.latest).toBeGreaterThanOrEqual(trueTime(then));
              const here = theirs.boundsHere(trueTime(then));
              expect(here?.earliest).toBeLessThanOrEqual(then);
              expect(here?.latest).toBeGreaterThanOrEqual(then);
            }
          }
        },
      ),
    );
  });

  it('is as exact as the quickest exchange of late', () => {
    let now = 0;
    const theirs = createTheirClock(() => now);
    theirs.learn(0, (now = 200), 5100);
    theirs.learn(200, (now = 202), 5201);
    theirs.learn(202, (now = 402), 5400);
    const { earliest = 0, latest = 0 } = theirs.boundsAt(402) ?? {};
    expect(latest - earliest).toBeLessThan(6);
    expect(earliest).toBeLessThanOrEqual(5402);
    expect(latest).toBeGreaterThanOrEqual(5402);
  });

  it.each([-15, 15])('that was corrected by %d ms was not set', (step) => {
    let now = 0;
    const theirs = createTheirClock(() => now);
    theirs.learn(0, (now = 2), 1001);
    expect(theirs.learn(10, (now = 12), 1011 + step)).toBe(true);
    expect(theirs.boundsAt(12)?.latest).toBeGreaterThanOrEqual(1012 + step);
    expect(theirs.boundsAt(12)?.earliest).toBeLessThanOrEqual(1012 + step);
  });

  it.each([-500, 500, -1e9, 1e9])('that was set by %d ms is noticed, and learnt anew', (jump) => {
    let now = 0;
    const theirs = createTheirClock(() => now);
    theirs.learn(0, (now = 2), 1001);
    expect(theirs.learn(10, (now = 12), 1011 + jump)).toBe(false);
    expect(theirs.learn(20, (now = 22), 1021 + jump)).toBe(true);
    expect(theirs.boundsAt(22)?.earliest).toBeGreaterThan(1018 + jump);
  });
});
