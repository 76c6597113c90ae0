import type { CacheKey, Entry, Selector } from '../../src/cache/entry.ts';
import { createMemory } from '../../src/cache/memory.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { DAY_MS, diskBench } from './kit.ts';
import { tierContract } from './tier.contract.ts';

tierContract('the tier in memory', async () => {
  const clock = createFakeClock();
  const memory = createMemory({ maxBytes: 1_000_000, lifetimeMs: DAY_MS }, clock);
  const tier = {
    get: (key: CacheKey) => memory.get(key),
    put: (key: CacheKey, entry: Entry) => memory.set(key, entry),
    erase: (selector: Selector) => memory.erase(selector),
    settle: () => Promise.resolve(),
  };
  return { tier, clock };
});

tierContract('the tier on the disk', async () => {
  const { clock, open } = await diskBench();
  const disk = await open();
  const tier = {
    get: (key: CacheKey) => disk.get(key),
    put: (key: CacheKey, entry: Entry) => void disk.put(key, entry),
    erase: (selector: Selector) => void disk.erase(selector),
    settle: () => disk.idle(),
  };
  return { tier, clock };
});
