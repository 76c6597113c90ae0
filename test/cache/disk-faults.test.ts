import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FolderTaken } from '../../src/cache/disk/lock.ts';
import { diskBench, entryOf, failure, judgedFiles, keyOf, type Step, temporaryFolder } from './kit.ts';

/** A disk of which a test can say at any time which steps fail. */
async function faultyBench() {
  const bench = await diskBench();
  let fails: (step: Step) => string | undefined = () => undefined;
  let afterBytes = 100;
  const { files } = judgedFiles((step) => {
    const code = fails(step);
    return code === undefined ? undefined : { error: failure(code), afterBytes };
  });
  const fail = (when: (step: Step) => string | undefined, arriving = 100) => {
    fails = when;
    afterBytes = arriving;
  };
  const heal = () => (fails = () => undefined);
  return { ...bench, fail, heal, openFaulty: () => bench.open({ files }) };
}

const WRITES = new Set(['writev', 'truncate', 'datasync']);

describe('a disk that takes no writes', () => {
  it.each(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'])('for %s is still read, and takes them again later', async (code) => {
    const { clock, close, fail, heal, open, openFaulty, told } = await faultyBench();
    const disk = await openFaulty();
    disk.put(keyOf('before'), entryOf('before'));
    await disk.idle();
    fail(({ call }) => (WRITES.has(call) ? code : undefined));
    for (let index = 0; index < 10; index += 1) {
      disk.put(keyOf(index), entryOf(index));
      await disk.idle();
      await clock.advance(5000);
    }
    await expect(disk.get(keyOf('before'))).resolves.toEqual(entryOf('before'));
    await expect(disk.get(keyOf(9))).resolves.toEqual(entryOf(9));
    await expect(disk.erase(keyOf(9))).resolves.toBe(false);
    expect(told).toMatchObject([{ level: 'warn', details: { reason: code } }]);
    heal();
    await clock.advance(60_000);
    await disk.idle();
    expect(told.map(({ level }) => level)).toEqual(['warn', 'info']);
    await close(disk);
    const again = await open();
    for (let index = 0; index < 9; index += 1) await expect(again.get(keyOf(index))).resolves.toEqual(entryOf(index));
    await expect(again.get(keyOf(9))).resolves.toBeUndefined();
    // What the failed write had left there.
    expect(again.stats().corrupt).toBeLessThanOrEqual(1);
  });

  it('is said so once a minute at most', async () => {
    const { clock, fail, openFaulty, told } = await faultyBench();
    const disk = await openFaulty();
    fail(({ call }) => (WRITES.has(call) ? 'EIO' : undefined));
    disk.put(keyOf(1), entryOf(1));
    await disk.idle();
    for (let second = 0; second < 300; second += 1) {
      await clock.advance(1000);
      await disk.idle();
    }
    expect(told.length).toBeGreaterThan(3);
    expect(told.length).toBeLessThanOrEqual(6);
  });

  it('leaves nothing of a failed write that could be found after what was written later', async () => {
    const { clock, close, fail, heal, open, openFaulty } = await faultyBench();
    const disk = await openFaulty();
    disk.put(keyOf('first'), entryOf('first'));
    await disk.idle();
    // The write arrives, but is said to have failed, and the file cannot be cut.
    let writes = 0;
    fail(({ call }) => (call === 'truncate' || (call === 'writev' && (writes += 1) === 1) ? 'EIO' : undefined), 10_000);
    disk.put(keyOf('a'), entryOf('old'));
    disk.put(keyOf('x'), entryOf('ghost'));
    await disk.idle();
    void disk.erase({});
    heal();
    await clock.advance(2000);
    await disk.idle();
    await close(disk);
    const again = await open();
    for (const name of ['first', 'a', 'x']) await expect(again.get(keyOf(name))).resolves.toBeUndefined();
  });

  it('makes room on a full disk by letting its oldest go', async () => {
    const { clock, fail, heal, openFaulty, segments } = await faultyBench();
    const disk = await openFaulty();
    for (let index = 0; index < 200; index += 1) {
      disk.put(keyOf(index), entryOf(index));
      if (index % 20 === 0) await disk.idle();
    }
    await disk.idle();
    const before = await segments();
    expect(before.length).toBeGreaterThan(2);
    fail(({ call }) => (call === 'writev' ? 'ENOSPC' : undefined));
    disk.put(keyOf('more'), entryOf('more'));
    await disk.idle();
    expect(await segments()).not.toContain(before[0]);
    heal();
    await clock.advance(1000);
    await disk.idle();
    expect(disk.stats().bytes).toBeGreaterThan(0);
  });

  it('keeps the order in which segments go when the oldest cannot be removed', async () => {
    const { close, fail, open, segments } = await diskBench({ maxBytes: 20_000, segmentBytes: 2048 }).then(
      async (bench) => {
        let isStuck = false;
        const { files } = judgedFiles(({ call }) =>
          call === 'unlink' && isStuck ? { error: failure('EPERM') } : undefined,
        );
        return { ...bench, open: () => bench.open({ files }), fail: () => (isStuck = true) };
      },
    );
    const disk = await open();
    disk.put(keyOf('x'), entryOf('x'));
    await disk.idle();
    await disk.erase(keyOf('x'));
    const [oldest] = await segments();
    fail();
    for (let index = 0; index < 200; index += 1) {
      disk.put(keyOf(index), entryOf(index));
      await disk.idle();
    }
    expect(await segments()).toContain(oldest);
    expect(disk.stats()).toMatchObject({ evictions: 0 });
    expect(disk.stats().bytes).toBeLessThanOrEqual(20_000);
    await close(disk);
    await expect((await open()).get(keyOf('x'))).resolves.toBeUndefined();
  });
});

describe('a disk that is nearly full', () => {
  it('takes nothing more, gives back what is missing, and goes on when there is room', async () => {
    const bench = await diskBench({ minFreeBytes: 100_000 });
    let free = 1_000_000;
    const { files } = judgedFiles(() => undefined);
    const statfs = async () => ({ bavail: free / 1000, bsize: 1000 });
    const disk = await bench.open({ files: { ...files, statfs: statfs as unknown as typeof files.statfs } });
    for (let index = 0; index < 300; index += 1) {
      disk.put(keyOf(index), entryOf(index));
      if (index % 20 === 0) await disk.idle();
    }
    await disk.idle();
    const { bytes } = disk.stats();
    free = 70_000;
    await bench.clock.advance(5000);
    disk.put(keyOf('more'), entryOf('more'));
    await disk.idle();
    expect(disk.stats()).toMatchObject({ droppedWrites: 1 });
    expect(disk.stats().bytes).toBeLessThanOrEqual(bytes - 30_000);
    await expect(disk.get(keyOf('more'))).resolves.toBeUndefined();
    await expect(disk.erase(keyOf(299))).resolves.toBe(true);
    expect(bench.told).toMatchObject([{ level: 'warn' }]);
    free = 1_000_000;
    await bench.clock.advance(5000);
    disk.put(keyOf('more'), entryOf('more'));
    await disk.idle();
    await expect(disk.get(keyOf('more'))).resolves.toEqual(entryOf('more'));
    expect(bench.told.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('asks for its free space now and then, not for every write', async () => {
    const bench = await diskBench();
    let asked = 0;
    const { files } = judgedFiles(({ call }) => void (asked += call === 'statfs' ? 1 : 0));
    const disk = await bench.open({ files });
    for (let index = 0; index < 50; index += 1) {
      disk.put(keyOf(index), entryOf(index));
      await disk.idle();
    }
    expect(asked).toBe(1);
  });
});

describe('a disk that cannot be read', () => {
  it('is a miss each time, and once it can be, the entry is gone all the same', async () => {
    const { fail, heal, openFaulty, told } = await faultyBench();
    const disk = await openFaulty();
    disk.put(keyOf(1), entryOf(1));
    await disk.idle();
    fail(({ call }) => (call === 'read' ? 'EIO' : undefined));
    await expect(disk.get(keyOf(1))).resolves.toBeUndefined();
    heal();
    await expect(disk.get(keyOf(1))).resolves.toBeUndefined();
    expect(disk.stats()).toMatchObject({ entries: 0, faults: 1 });
    expect(told).toMatchObject([{ level: 'warn', details: { reason: 'EIO' } }]);
  });
});

describe('a folder', () => {
  it('that is removed while it is used is noticed, and made again', async () => {
    const { clock, close, dir, open, segments, told } = await diskBench();
    const disk = await open();
    disk.put(keyOf(1), entryOf(1));
    await disk.idle();
    await rm(join(dir, 'v1'), { recursive: true });
    await expect(disk.get(keyOf(1))).resolves.toEqual(entryOf(1));
    await clock.advance(5000);
    disk.put(keyOf(2), entryOf(2));
    await disk.idle();
    expect(disk.stats().state).toBe('away');
    await expect(disk.get(keyOf(1))).resolves.toBeUndefined();
    await expect(disk.get(keyOf(2))).resolves.toEqual(entryOf(2));
    await clock.advance(1000);
    await disk.idle();
    expect(disk.stats()).toMatchObject({ state: 'open', entries: 1 });
    expect(await segments()).toHaveLength(1);
    expect(told.map(({ level }) => level)).toEqual(['warn', 'info']);
    await close(disk);
    await expect((await open()).get(keyOf(2))).resolves.toEqual(entryOf(2));
  });

  // As when a volume is unmounted, and mounted again: what was erased meanwhile must not be on it.
  it('that is away for a while does not bring back what was erased meanwhile', async () => {
    const { clock, close, dir, folder, open } = await diskBench();
    const disk = await open();
    for (const name of [1, 2, 3]) disk.put(keyOf(name), entryOf(name));
    await disk.idle();
    await rename(folder, join(dir, 'aside'));
    await writeFile(folder, 'in the way');
    await clock.advance(5000);
    // The open segment still has a name, elsewhere: the loss shows when a new one is to be made.
    for (let index = 0; index < 60; index += 1) disk.put(keyOf(`f${index}`), entryOf(index));
    await disk.idle();
    expect(disk.stats().state).toBe('away');
    await expect(disk.erase(keyOf(1))).resolves.toBe(false);
    disk.put(keyOf(2), entryOf('two'));
    await rm(folder);
    await rename(join(dir, 'aside'), folder);
    await clock.advance(1000);
    await disk.idle();
    const expectAll = async (disk: Awaited<ReturnType<typeof open>>) => {
      await expect(disk.get(keyOf(1))).resolves.toBeUndefined();
      await expect(disk.get(keyOf(2))).resolves.toEqual(entryOf('two'));
      await expect(disk.get(keyOf(3))).resolves.toEqual(entryOf(3));
    };
    await expectAll(disk);
    await close(disk);
    await expectAll(await open());
  });

  it.each([
    ['is a file', (dir: string) => writeFile(join(dir, 'v1'), '')],
    ['is a link to another folder', async (dir: string) => symlink(await temporaryFolder(), join(dir, 'v1'))],
    ['has a folder in the place of its lock', (dir: string) => mkdir(join(dir, 'v1', 'lock'), { recursive: true })],
  ])('that %s is not used, until it is put right', async (_what, spoil) => {
    const { clock, dir, open, told } = await diskBench();
    await spoil(dir);
    const disk = await open();
    expect(disk.stats().state).toBe('away');
    expect(told).toMatchObject([{ level: 'warn' }]);
    disk.put(keyOf(1), entryOf(1));
    await expect(disk.get(keyOf(1))).resolves.toEqual(entryOf(1));
    await rm(join(dir, 'v1'), { recursive: true });
    await clock.advance(1000);
    await disk.idle();
    expect(disk.stats()).toMatchObject({ state: 'open', entries: 1 });
    expect(await readdir(join(dir, 'v1'))).toContain('1');
  });

  it('that another has is left to it, and taken over when it is free, with what was put until then', async () => {
    const { clock, close, open, told } = await diskBench();
    const first = await open();
    first.put(keyOf(1), entryOf(1));
    await first.idle();
    const second = await open();
    expect(second.stats().state).toBe('away');
    expect(told).toMatchObject([{ level: 'warn', message: expect.stringContaining('another process') as string }]);
    second.put(keyOf(2), entryOf(2));
    first.put(keyOf(3), entryOf(3));
    await close(first);
    await clock.advance(1000);
    await second.idle();
    for (const name of [1, 2, 3]) await expect(second.get(keyOf(name))).resolves.toEqual(entryOf(name));
  });

  it('is asked for ever more rarely while it is not to be had', async () => {
    const { clock, open } = await diskBench();
    let asked = 0;
    const takeLock = () => {
      asked += 1;
      return Promise.reject(new FolderTaken());
    };
    const disk = await open({ takeLock });
    for (let second = 0; second < 300; second += 1) {
      await clock.advance(1000);
      await disk.idle();
    }
    expect(asked).toBeGreaterThan(10);
    expect(asked).toBeLessThan(20);
  });

  it('whose disk hangs does not keep the process from ending', async () => {
    const bench = await diskBench();
    const { files } = judgedFiles(() => undefined);
    const disk = await bench.open({
      files: { ...files, statfs: (() => new Promise(() => {})) as typeof files.statfs },
    });
    disk.put(keyOf(1), entryOf(1));
    const closed = disk[Symbol.asyncDispose]();
    await bench.clock.advance(10_000);
    await expect(closed).resolves.toBeUndefined();
  });
});
