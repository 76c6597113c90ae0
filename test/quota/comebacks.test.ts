import { describe, expect, it } from 'vitest';
import { Comebacks } from '../../src/quota/comebacks.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

describe('when to come back', () => {
  it('tells one client when one more could be served, and never less than a second', () => {
    const comebacks = new Comebacks(createFakeClock());
    expect(comebacks.tell('a', 4000, 35)).toBe(4000);
    expect(new Comebacks(createFakeClock()).tell('a', 3, 35)).toBe(1000);
  });

  it('tells many different times, as far apart as slots are', () => {
    const comebacks = new Comebacks(createFakeClock());
    const told = Array.from({ length: 100 }, (_, i) => comebacks.tell(`c${i}`, 500, 100));
    expect(told.slice(0, 3)).toEqual([1000, 1100, 1200]);
    expect(told.at(-1)).toBe(1000 + 99 * 100);
  });

  it('gives a client that does not wait no further place', () => {
    const comebacks = new Comebacks(createFakeClock());
    for (let i = 0; i < 500; i += 1) expect(comebacks.tell('greedy', 2000, 100)).toBe(2000);
    expect(comebacks.tell('b', 2000, 100)).toBe(2100);
  });

  it('tells nobody more than half a minute beyond its own wait', () => {
    const comebacks = new Comebacks(createFakeClock());
    const told = Array.from({ length: 5000 }, (_, i) => comebacks.tell(`c${i}`, 1000, 100));
    expect(Math.max(...told)).toBe(31_000);
  });

  it('forgets what has passed', async () => {
    const clock = createFakeClock();
    const comebacks = new Comebacks(clock);
    for (let i = 0; i < 50; i += 1) comebacks.tell(`c${i}`, 1000, 100);
    await clock.advance(6000);
    expect(comebacks.tell('c1', 1000, 100)).toBe(1000);
  });
});
