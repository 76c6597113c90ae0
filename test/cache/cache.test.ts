import { describe, expect, it, onTestFinished } from 'vitest';
import { type Cache, createCache } from '../../src/cache/cache.ts';
import { cacheSchema } from '../../src/cache/config.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { entryOf, failure, judgedFiles, keyOf, temporaryFolder } from './kit.ts';

/** A cache over a folder, and a gate that holds its reads of the disk. */
async function opened(config: Record<string, unknown> = {}) {
  const dir = await temporaryFolder();
  const clock = createFakeClock();
  let gate: Promise<void> | undefined;
  let reads = 0;
  const { files } = judgedFiles(({ call }) => void (reads += call === 'read' ? 1 : 0));
  const held: typeof files.open = async (...args) => {
    const handle = await files.open(...args);
    const read = handle.read.bind(handle) as (...args: unknown[]) => Promise<unknown>;
    const waiting = async (...args: unknown[]) => {
      await gate;
      return read(...args);
    };
    return Object.assign(handle, { read: waiting });
  };
  const open = async (more: Record<string, unknown> = {}): Promise<Cache> => {
    const parsed = cacheSchema.parse({ disk: { dir, minFreeBytes: 0 }, ...config, ...more });
    const cache = createCache(parsed, { clock, notice: () => {}, files: { ...files, open: held } });
    onTestFinished(() => cache[Symbol.asyncDispose]());
    await cache.idle();
    return cache;
  };
  /** What was put is on the disk only, as after a restart. */
  const reopen = async (cache: Cache) => {
    await cache[Symbol.asyncDispose]();
    return open();
  };
  const hold = () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    return resolve;
  };
  return { clock, open, reopen, hold, reads: () => reads };
}

describe('the cache', () => {
  it('says which tier an entry came from, and has it in memory the next time', async () => {
    const { open, reopen } = await opened();
    const first = await open();
    await expect(first.get(keyOf(1))).resolves.toBeUndefined();
    expect(first.put(keyOf(1), entryOf(1))).toBe(true);
    await expect(first.get(keyOf(1))).resolves.toEqual({ tier: 'memory', entry: entryOf(1) });
    expect(first.fromMemory(keyOf(1))).toEqual(entryOf(1));
    const second = await reopen(first);
    expect(second.fromMemory(keyOf(1))).toBeUndefined();
    await expect(second.get(keyOf(1))).resolves.toEqual({ tier: 'disk', entry: entryOf(1) });
    await expect(second.get(keyOf(1))).resolves.toEqual({ tier: 'memory', entry: entryOf(1) });
    expect(second.stats()).toMatchObject({
      memory: { entries: 1, hits: 1, misses: 2 },
      disk: { entries: 1, hits: 1, misses: 0, state: 'open' },
    });
  });

  it('needs no disk', async () => {
    const { open } = await opened();
    const cache = await open({ disk: {} });
    cache.put(keyOf(1), entryOf(1));
    await expect(cache.get(keyOf(1))).resolves.toEqual({ tier: 'memory', entry: entryOf(1) });
    await expect(cache.delete(keyOf(1))).resolves.toBe(true);
    await expect(cache.get(keyOf(1))).resolves.toBeUndefined();
    expect(cache.stats().disk).toBeUndefined();
  });

  it('goes on in memory while there is no disk to be had', async () => {
    const clock = createFakeClock();
    const { files } = judgedFiles(() => ({ error: failure('EROFS') }));
    const told: string[] = [];
    const notice = (level: string) => void told.push(level);
    const config = cacheSchema.parse({ disk: { dir: await temporaryFolder() } });
    await using cache = createCache(config, { clock, notice, files });
    await cache.idle();
    cache.put(keyOf(1), entryOf(1));
    await expect(cache.get(keyOf(1))).resolves.toEqual({ tier: 'memory', entry: entryOf(1) });
    await expect(cache.get(keyOf(2))).resolves.toBeUndefined();
    await expect(cache.delete(keyOf(1))).resolves.toBe(false);
    await expect(cache.get(keyOf(1))).resolves.toBeUndefined();
    expect([told, cache.stats().disk?.state]).toEqual([['warn'], 'away']);
  });

  it('keeps nothing larger than its bound, nor what that should have replaced', async () => {
    const { open, reopen } = await opened({ maxEntryBytes: 1000 });
    const cache = await open();
    cache.put(keyOf(1), entryOf('old'));
    expect(cache.put(keyOf(1), entryOf('new', 1001))).toBe(false);
    await expect(cache.get(keyOf(1))).resolves.toBeUndefined();
    await expect((await reopen(cache)).get(keyOf(1))).resolves.toBeUndefined();
  });

  it('reads the disk once for all who ask at the same time', async () => {
    const { open, reopen, hold, reads } = await opened();
    const first = await open();
    first.put(keyOf(1), entryOf(1));
    const cache = await reopen(first);
    const before = reads();
    const release = hold();
    const hits = Array.from({ length: 500 }, () => cache.get(keyOf(1)));
    release();
    for (const hit of await Promise.all(hits)) expect(hit).toEqual({ tier: 'disk', entry: entryOf(1) });
    expect(reads() - before).toBe(1);
  });

  it.each([
    ['a deletion', (cache: Cache) => cache.delete(keyOf(1))],
    ['a purge of its file', (cache: Cache) => cache.purge({ app: 'org/app', file: 'file-1' })],
    ['a purge of its app', (cache: Cache) => cache.purge({ app: 'org/app' })],
    ['a purge of everything', (cache: Cache) => cache.purge({})],
  ])('does not bring back by a reading what %s takes out meanwhile', async (_what, erase) => {
    const { open, reopen, hold } = await opened();
    const first = await open();
    first.put(keyOf(1), entryOf(1));
    const cache = await reopen(first);
    const release = hold();
    const reading = cache.get(keyOf(1));
    void erase(cache);
    const late = cache.get(keyOf(1));
    release();
    await expect(reading).resolves.toBeUndefined();
    await expect(late).resolves.toBeUndefined();
    expect(cache.fromMemory(keyOf(1))).toBeUndefined();
  });

  it('does not put an older entry over the one that comes while it is read', async () => {
    const { open, reopen, hold } = await opened();
    const first = await open();
    first.put(keyOf(1), entryOf('old'));
    const cache = await reopen(first);
    const release = hold();
    const reading = cache.get(keyOf(1));
    cache.put(keyOf(1), entryOf('new'));
    release();
    await expect(reading).resolves.toMatchObject({ entry: entryOf('new') });
    expect(cache.fromMemory(keyOf(1))).toEqual(entryOf('new'));
  });

  it('does not let a fetch from before an erasure undo it', async () => {
    const { open } = await opened();
    const cache = await open();
    const mark = cache.mark();
    await cache.purge({ app: keyOf(1).app, file: keyOf(1).file });
    expect(cache.put(keyOf(1), entryOf(1), mark)).toBe(false);
    expect(await cache.get(keyOf(1))).toBeUndefined();
    expect(cache.put(keyOf(2), entryOf(2), mark)).toBe(true);
    expect(cache.put(keyOf(1), entryOf(1), cache.mark())).toBe(true);
    for (let i = 0; i < 2001; i += 1) await cache.delete({ ...keyOf(3), variant: `v${i}` });
    expect(cache.put(keyOf(2), entryOf(2), mark)).toBe(false);
  });
});
