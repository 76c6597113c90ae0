import { describe, expect, it } from 'vitest';
import { Comebacks } from '../../src/quota/comebacks.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const one = { paceMs: 35, clients: 1 };
const pace = { paceMs: 100, clients: 5 };

describe('when to come back', () => {
  it('tells one client when one more could be served, and never less than a second', () => {
    const comebacks = new Comebacks(createFakeClock());
    expect(comebacks.tell('a', 4000, one)).toBe(4000);
    expect(new Comebacks(createFakeClock()).tell('a', 3, one)).toBe(1000);
  });

  it('tells many different times, as far apart as slots are', () => {
    const comebacks = new Comebacks(createFakeClock());
    const told = Array.from({ length: 100 }, (_, i) => comebacks.tell(`c${i}`, 500, pace));
    expect(told.slice(0, 3)).toEqual([1000, 1100, 1200]);
    expect(told.at(-1)).toBe(1000 + 99 * 100);
  });

  it('spreads what one client asks for over its own turns, and puts off nobody else for it', () => {
    const comebacks = new Comebacks(createFakeClock());
    const told = Array.from({ length: 500 }, () => comebacks.tell('greedy', 2000, pace));
    expect(told.slice(0, 3)).toEqual([2000, 2500, 3000]);
    expect(told.at(-1)).toBe(32_000);
    expect(comebacks.tell('b', 2000, pace)).toBe(2100);
  });

  it('tells nobody more than half a minute beyond its own wait', () => {
    const comebacks = new Comebacks(createFakeClock());
    const told = Array.from({ length: 5000 }, (_, i) => comebacks.tell(`c${i}`, 1000, pace));
    expect(Math.max(...told)).toBe(31_000);
  });

  it('forgets what has passed', async () => {
    const clock = createFakeClock();
    const comebacks = new Comebacks(clock);
    for (let i = 0; i < 50; i += 1) comebacks.tell(`c${i}`, 1000, pace);
    await clock.advance(6000);
    expect(comebacks.tell('c1', 1000, pace)).toBe(1000);
  });
});
