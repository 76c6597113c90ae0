import { describe, expect, it } from 'vitest';
import { createMemory } from '../../src/cache/memory.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { DAY_MS, entryOf, keyOf } from './kit.ts';

const open = (maxBytes = 1_000_000) => {
  const clock = createFakeClock();
  return { clock, memory: createMemory({ maxBytes, lifetimeMs: DAY_MS }, clock) };
};

describe('the tier in memory', () => {
  it('lets go what was not asked for longest when its bytes are used up', () => {
    const { memory } = open(10_000);
    for (let number = 0; number < 5; number += 1) memory.set(keyOf(number), entryOf(number, 1300));
    expect(memory.get(keyOf(0))).toEqual(entryOf(0, 1300));
    memory.set(keyOf(5), entryOf(5, 1300));
    expect(memory.get(keyOf(1))).toBeUndefined();
    expect(memory.get(keyOf(0))).toBeDefined();
    const { bytes, entries, evictions, hits, misses } = memory.stats();
    expect(bytes).toBeLessThanOrEqual(10_000);
    expect({ entries, evictions, hits, misses }).toEqual({ entries: 5, evictions: 1, hits: 2, misses: 1 });
  });

  it('counts the fields and the key as well: many tiny entries are not for nothing', () => {
    const { memory } = open(10_000);
    for (let number = 0; number < 100; number += 1) memory.set(keyOf(number), entryOf(number, 0));
    expect(memory.stats().entries).toBeLessThan(20);
  });

  it('keeps nothing that is larger than itself, nor what that should have replaced', () => {
    const { memory } = open(10_000);
    memory.set(keyOf(1), entryOf('old'));
    memory.set(keyOf(1), entryOf('new', 20_000));
    expect(memory.get(keyOf(1))).toBeUndefined();
  });

  it('may have no room at all', () => {
    const { memory } = open(0);
    memory.set(keyOf(1), entryOf(1));
    expect(memory.get(keyOf(1))).toBeUndefined();
  });

  // A piece of a 64 KB chunk from the network keeps all of it alive, and none of that would be counted.
  it('copies a small piece of a large buffer', () => {
    const { memory } = open();
    const chunk = Buffer.alloc(65_536, 'x');
    memory.set(keyOf(1), { ...entryOf(1), body: chunk.subarray(100, 300) });
    const kept = memory.get(keyOf(1))?.body;
    expect(kept).toEqual(Buffer.alloc(200, 'x'));
    expect(kept?.buffer.byteLength).toBe(200);
    const whole = Buffer.alloc(5000, 'y');
    memory.set(keyOf(2), { ...entryOf(2), body: whole });
    expect(memory.get(keyOf(2))?.body).toBe(whole);
  });
});
