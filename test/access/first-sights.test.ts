import { describe, expect, it } from 'vitest';
import { createFirstSights } from '../../src/access/first-sights.ts';
import { NEVER } from '../../src/access/may-see.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

describe('first sights', () => {
  it('stay what they were', async () => {
    const clock = createFakeClock();
    const sights = createFirstSights(clock);
    const first = sights.claim('t', clock.now() + 10_000);
    await clock.advance(5000);
    expect(sights.claim('t', clock.now() + 10_000)).toBe(first);
    sights.spend('t', clock.now() + 10_000);
    expect(sights.claim('t', clock.now() + 10_000)).toBe(NEVER);
  });

  it('are given to nobody new when there is no room, and again when tokens have ended', async () => {
    const clock = createFakeClock();
    const sights = createFirstSights(clock, 2);
    const first = sights.claim('a', clock.now() + 10_000);
    sights.claim('b', clock.now() + 5000);
    expect(sights.claim('c', clock.now() + 10_000)).toBeUndefined();
    await clock.advance(5000);
    expect(sights.claim('c', clock.now() + 10_000)).toBe(clock.monotonic());
    expect(sights.claim('a', clock.now() + 10_000)).toBe(first);
  });

  it('are given to nobody new after a refusal that found no room', async () => {
    const clock = createFakeClock();
    const sights = createFirstSights(clock, 1);
    sights.claim('a', clock.now() + 1000);
    sights.spend('refused', clock.now() + 60_000);
    await clock.advance(2000);
    expect(sights.claim('refused', clock.now() + 58_000)).toBeUndefined();
  });
});
