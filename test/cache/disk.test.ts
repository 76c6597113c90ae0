import { readdir, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { diskBench, DAY_MS, entryOf, keyOf } from './kit.ts';

const range = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('the disk tier', () => {
  it('gives back what was put, before it is written, when it is, and after a restart', async () => {
    const { open, close } = await diskBench();
    const first = await open();
    expect(first.put(keyOf(1), entryOf(1))).toBe(true);
    await expect(first.get(keyOf(1))).resolves.toEqual(entryOf(1));
    expect(first.stats().bytes).toBe(0);
    await first.idle();
    expect(first.stats()).toMatchObject({ entries: 1, hits: 1 });
    await expect(first.get(keyOf(1))).resolves.toEqual(entryOf(1));
    await close(first);
    const second = await open();
    await expect(second.get(keyOf(1))).resolves.toEqual(entryOf(1));
    await expect(second.get(keyOf(2))).resolves.toBeUndefined();
    expect(second.stats()).toMatchObject({ state: 'open', entries: 1, hits: 1, misses: 1, corrupt: 0 });
  });

  it('keeps the newer of two, also after a restart', async () => {
    const { open, close } = await diskBench();
    const first = await open();
    for (const name of ['old', 'new']) {
      first.put(keyOf(1), entryOf(name));
      await first.idle();
    }
    await close(first);
    const second = await open();
    await expect(second.get(keyOf(1))).resolves.toEqual(entryOf('new'));
    expect(second.stats().entries).toBe(1);
  });

  it('keeps keys apart however their parts could be glued together', async () => {
    const { open } = await diskBench();
    const disk = await open();
    const keys = [
      { app: 'a/b', file: 'c', variant: 'd' },
      { app: 'a/b', file: 'c","d', variant: '' },
      { app: 'a', file: 'b","c', variant: 'd' },
      { app: '', file: '', variant: '' },
    ];
    for (const [index, key] of keys.entries()) disk.put(key, entryOf(index));
    await disk.idle();
    for (const [index, key] of keys.entries()) await expect(disk.get(key)).resolves.toEqual(entryOf(index));
  });

  it('forgets what is too old, and does not find it again after a restart', async () => {
    const { clock, open, close } = await diskBench();
    const first = await open();
    first.put(keyOf('old'), entryOf('old', 200, clock.now() - DAY_MS + 1));
    first.put(keyOf('young'), entryOf('young', 200, clock.now()));
    await first.idle();
    await expect(first.get(keyOf('old'))).resolves.toBeDefined();
    await clock.advance(1);
    await expect(first.get(keyOf('old'))).resolves.toBeUndefined();
    expect(first.stats().entries).toBe(1);
    await close(first);
    const second = await open();
    expect(second.stats().entries).toBe(1);
    await expect(second.get(keyOf('young'))).resolves.toBeDefined();
  });

  it('gives the space of what is too old back, even if nobody asks for anything', async () => {
    const { clock, open, segments } = await diskBench();
    const disk = await open();
    for (const index of range(60)) disk.put(keyOf(index), entryOf(index, 200, clock.now()));
    await disk.idle();
    expect((await segments()).length).toBeGreaterThan(1);
    await clock.advance(DAY_MS + 3_600_000);
    await disk.idle();
    await expect(segments()).resolves.toEqual([]);
    disk.put(keyOf('next'), entryOf('next', 200, clock.now()));
    await disk.idle();
    await expect(disk.get(keyOf('next'))).resolves.toBeDefined();
  });

  it('lets the oldest go when there is no more room, and stays within its bounds', async () => {
    const { open, segments } = await diskBench({ maxBytes: 64 * 1024 });
    const disk = await open();
    for (const index of range(1000)) {
      disk.put(keyOf(index), entryOf(index));
      if (index % 10 === 0) await disk.idle();
    }
    await disk.idle();
    const sizes = await Promise.all((await segments()).map(async (path) => (await stat(path)).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(64 * 1024);
    const { entries, evictions, bytes } = disk.stats();
    expect(entries + evictions).toBe(1000);
    expect(bytes).toBeLessThanOrEqual(64 * 1024);
    await expect(disk.get(keyOf(0))).resolves.toBeUndefined();
    await expect(disk.get(keyOf(999))).resolves.toBeDefined();
  });

  it('keeps what is hit again and again while others come and go', async () => {
    const { open } = await diskBench({ maxBytes: 64 * 1024 });
    const disk = await open();
    disk.put(keyOf('hot'), entryOf('hot'));
    for (const index of range(2000)) {
      disk.put(keyOf(index), entryOf(index));
      if (index % 10 > 0) continue;
      await disk.idle();
      await expect(disk.get(keyOf('hot'))).resolves.toEqual(entryOf('hot'));
    }
  });

  it('writes nothing when it is only read', async () => {
    const { open } = await diskBench({ maxBytes: 64 * 1024 });
    const disk = await open();
    for (const index of range(400)) {
      disk.put(keyOf(index), entryOf(index));
      if (index % 10 === 0) await disk.idle();
    }
    await disk.idle();
    const readAll = async () => {
      for (const index of range(400)) await disk.get(keyOf(index));
      await disk.idle();
      return disk.stats();
    };
    // What was put paid for second chances of a segment at most; after that there is nothing left to pay with.
    await readAll();
    await readAll();
    const { bytes, evictions, entries } = await readAll();
    expect(await readAll()).toMatchObject({ bytes, evictions, entries });
  });

  it('drops what is too much to be written for now, and does not show what it should have replaced', async () => {
    const { open, close } = await diskBench({ maxBytes: 100_000_000, segmentBytes: 12_000_000 });
    const disk = await open();
    disk.put(keyOf('x'), entryOf('old'));
    await disk.idle();
    const big = range(9).map((index) => disk.put(keyOf(index), entryOf(index, 1_000_000)));
    expect(big).toEqual([...Array.from({ length: 8 }, () => true), false]);
    expect(disk.put(keyOf('x'), entryOf('new', 1_000_000))).toBe(false);
    expect(disk.stats().droppedWrites).toBe(2);
    await expect(disk.get(keyOf('x'))).resolves.toBeUndefined();
    await close(disk);
    const again = await open();
    await expect(again.get(keyOf('x'))).resolves.toBeUndefined();
    await expect(again.get(keyOf(7))).resolves.toEqual(entryOf(7, 1_000_000));
  });

  it('does not keep what is larger than its bounds', async () => {
    const { open } = await diskBench();
    const disk = await open();
    expect(disk.put(keyOf(1), { ...entryOf(1), fields: { long: 'x'.repeat(20_000) } })).toBe(false);
    expect(disk.put({ app: 'a/b', file: 'x'.repeat(5000), variant: '' }, entryOf(1))).toBe(false);
    expect(disk.put(keyOf(1), entryOf(1, 1_000_000))).toBe(false);
    await expect(disk.get(keyOf(1))).resolves.toBeUndefined();
    await expect(disk.erase({ app: 'x'.repeat(5000) })).resolves.toBe(true);
  });

  it('goes on in the last segment rather than leave one for every start', async () => {
    const { open, close, segments } = await diskBench();
    for (const index of range(10)) {
      const disk = await open();
      disk.put(keyOf(index), entryOf(index));
      await close(disk);
    }
    expect(await segments()).toHaveLength(1);
    const disk = await open();
    for (const index of range(10)) await expect(disk.get(keyOf(index))).resolves.toEqual(entryOf(index));
  });

  it('shows nobody else what it keeps', async () => {
    const { dir, folder, open } = await diskBench();
    const disk = await open();
    disk.put(keyOf(1), entryOf(1));
    await disk.idle();
    const names = await readdir(dir, { recursive: true });
    expect(names.toSorted()).toEqual(['v1', 'v1/1', 'v1/lock']);
    const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
    expect(await modeOf(folder)).toBe(0o700);
    expect(await modeOf(`${folder}/1`)).toBe(0o600);
    expect(await modeOf(`${folder}/lock`)).toBe(0o600);
  });
});

describe('an erasure', () => {
  const near = (file: string, variant: string, app = 'org/app') => ({ app, file, variant });
  const all = [near('f', '1'), near('f', '2'), near('g', '1'), near('f', '1', 'org/other')];

  it.each([
    ['of one entry', near('f', '1'), [false, true, true, true]],
    ['of a file', { app: 'org/app', file: 'f' }, [false, false, true, true]],
    ['of an app', { app: 'org/app' }, [false, false, false, true]],
    ['of everything', {}, [false, false, false, false]],
  ])('%s reaches what was put before it, also after a restart', async (_what, selector, left) => {
    const { open, close } = await diskBench();
    let disk = await open();
    const there = () => Promise.all(all.map(async (key) => (await disk.get(key)) !== undefined));
    for (const key of all) disk.put(key, entryOf(1));
    await disk.idle();
    await expect(disk.erase(selector)).resolves.toBe(true);
    expect(await there()).toEqual(left);
    await close(disk);
    disk = await open();
    expect(await there()).toEqual(left);
    for (const key of all) disk.put(key, entryOf(2));
    await close(disk);
    disk = await open();
    expect(await there()).toEqual([true, true, true, true]);
  });

  it('does not reach what is put after it, though neither is written yet', async () => {
    const { open, close } = await diskBench();
    const disk = await open();
    disk.put(keyOf(1), entryOf('before'));
    const erased = disk.erase({});
    disk.put(keyOf(1), entryOf('after'));
    await expect(disk.get(keyOf(1))).resolves.toEqual(entryOf('after'));
    await erased;
    await close(disk);
    await expect((await open()).get(keyOf(1))).resolves.toEqual(entryOf('after'));
  });

  it('writes nothing for what was never there', async () => {
    const { open } = await diskBench();
    const disk = await open();
    await expect(disk.erase(keyOf(1))).resolves.toBe(true);
    await expect(disk.erase({ app: 'org/app', file: 'f' })).resolves.toBe(true);
    expect(disk.stats().bytes).toBe(0);
  });

  it('that comes while an entry is being read makes the reading a miss', async () => {
    const { open } = await diskBench();
    const disk = await open();
    disk.put(keyOf(1), entryOf(1));
    await disk.idle();
    const read = disk.get(keyOf(1));
    void disk.erase(keyOf(1));
    await expect(read).resolves.toBeUndefined();
  });

  it('holds for second chances, too', async () => {
    const { open, close } = await diskBench({ maxBytes: 64 * 1024 });
    let disk = await open();
    disk.put(keyOf('hot'), entryOf('hot'));
    for (const index of range(55)) {
      disk.put(keyOf(index), entryOf(index));
      if (index % 10 === 0) await disk.idle();
    }
    await disk.idle();
    await expect(disk.get(keyOf('hot'))).resolves.toBeDefined();
    await expect(disk.erase(keyOf('hot'))).resolves.toBe(true);
    await close(disk);
    disk = await open();
    await expect(disk.get(keyOf('hot'))).resolves.toBeUndefined();
  });
});
