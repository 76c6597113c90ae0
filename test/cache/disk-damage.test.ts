/**
 * What lies in the folder is damaged in every way there is, while nobody looks or while it is open. What is read then is
 * what was put, or nothing; and the folder can be used.
 */
import {
  copyFile,
  mkdir,
  open as openFile,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Disk } from '../../src/cache/disk.ts';
import { draft, HEAD_BYTES } from '../../src/cache/disk/record.ts';
import { diskBench, entryOf, failure, judgedFiles, keyOf } from './kit.ts';

const COUNT = 40;

/** Of the records of all entries whose numbers have two digits. */
const RECORD_BYTES = draft({ kind: 'put', key: keyOf(10), entry: entryOf(10) })?.bytes ?? 0;

const numbers = Array.from({ length: COUNT }, (_, index) => index);

/** A folder of several segments, closed. */
async function filledBench() {
  const bench = await diskBench({ maxBytes: 160_000, segmentBytes: 2048 });
  const disk = await bench.open();
  for (const index of numbers) {
    disk.put(keyOf(index), entryOf(index));
    if (index % 4 === 3) await disk.idle();
  }
  await bench.close(disk);
  const paths = await bench.segments();
  expect(paths.length).toBeGreaterThan(5);
  return { ...bench, paths };
}

/** How many can be read; each as it was put. */
async function readable(disk: Disk): Promise<number> {
  let count = 0;
  for (const index of numbers) {
    const entry = await disk.get(keyOf(index));
    if (!entry) continue;
    expect(entry).toEqual(entryOf(index));
    count += 1;
  }
  return count;
}

/** Puts all again, which must work whatever was there before. */
async function expectToWork(disk: Disk): Promise<void> {
  for (const index of numbers) disk.put(keyOf(index), entryOf(index));
  await disk.idle();
  expect(await readable(disk)).toBe(COUNT);
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset]! ^= 0x41;
  await writeFile(path, bytes);
}

const zero = async (path: string, from: number, to: number) => {
  const handle = await openFile(path, 'r+');
  await handle.write(Buffer.alloc(to - from), 0, to - from, from);
  await handle.close();
};

describe('what lies in the folder', () => {
  it('may have any byte of a head or of a record flipped: that record is lost, and no other', async () => {
    const { open, close, paths } = await filledBench();
    const path = paths[2]!;
    const sound = await readFile(path);
    for (let offset = 0; offset < HEAD_BYTES + RECORD_BYTES; offset += 3) {
      await writeFile(path, sound);
      await flip(path, offset);
      const disk = await open();
      const left = await readable(disk);
      if (offset < HEAD_BYTES) expect(left).toBeLessThan(COUNT);
      else expect(left).toBe(COUNT - 1);
      expect(disk.stats().corrupt).toBe(1);
      await close(disk);
    }
  });

  it('may be cut short anywhere: what is whole before the cut is still there', async () => {
    const { open, close, paths } = await filledBench();
    const path = paths.at(-1)!;
    const sound = await readFile(path);
    let least = COUNT;
    for (let length = sound.length; length >= 0; length -= 97) {
      await writeFile(path, sound);
      await truncate(path, length);
      const disk = await open();
      const left = await readable(disk);
      expect(left).toBeLessThanOrEqual(least);
      least = left;
      await close(disk);
    }
    expect(least).toBeGreaterThan(COUNT - 10);
  });

  it.each([
    ['the whole of a segment is zeros', async ([, path]: string[]) => zero(path!, 0, (await stat(path!)).size)],
    ['the end of a segment is zeros', async ([, path]: string[]) => zero(path!, 1000, (await stat(path!)).size)],
    ['the middle of a segment is zeros', async ([, path]: string[]) => zero(path!, 500, 900)],
    [
      'zeros follow the last record',
      async (paths: string[]) => zero(paths.at(-1)!, (await stat(paths.at(-1)!)).size, 9000),
    ],
    ['a segment is empty', async ([, path]: string[]) => truncate(path!, 0)],
    ['a segment is garbage', async ([, path]: string[]) => writeFile(path!, Buffer.alloc(5000, 'garbage'))],
    [
      'two segments have changed places',
      async ([, a, b]: string[]) => {
        await rename(a!, `${a}.aside`);
        await rename(b!, a!);
        await rename(`${a}.aside`, b!);
      },
    ],
    ['one segment is a copy of another', async ([, a, b]: string[]) => copyFile(a!, b!)],
    ['a segment is gone', async ([, path]: string[]) => rm(path!)],
    [
      'a directory has the name of a segment',
      async ([, path]: string[]) => {
        await rm(path!);
        await mkdir(path!);
      },
    ],
  ])('may be damaged: %s', async (_what, damage) => {
    const { open, close, paths } = await filledBench();
    await damage(paths);
    const disk = await open();
    expect(await readable(disk)).toBeGreaterThan(COUNT / 2);
    await expectToWork(disk);
    await close(disk);
    const again = await open();
    expect(await readable(again)).toBe(COUNT);
  });

  it('is all given up when its newest segment is another file: nobody can tell what that one had erased', async () => {
    const { open, close, paths } = await filledBench();
    await writeFile(paths.at(-1)!, Buffer.alloc(100, 'x'));
    const disk = await open();
    expect(await readable(disk)).toBe(0);
    await expectToWork(disk);
    await close(disk);
    expect(await readable(await open())).toBe(COUNT);
  });

  // A body is whatever somebody has uploaded. Looking for the next record behind damage must not find one in there.
  it('cannot hold a record that was made up inside of a body', async () => {
    const { open, close, segments } = await diskBench();
    const first = await open();
    first.put(keyOf('victim'), entryOf('made up'));
    await close(first);
    const [path = ''] = await segments();
    const forged = (await readFile(path)).subarray(HEAD_BYTES);
    await rm(path);
    const second = await open();
    second.put(keyOf('attacker'), { ...entryOf('attacker'), body: Buffer.concat([forged, forged, forged]) });
    await close(second);
    await flip(path, HEAD_BYTES + 1);
    const third = await open();
    expect(third.stats()).toMatchObject({ entries: 0, corrupt: 1 });
    await expect(third.get(keyOf('victim'))).resolves.toBeUndefined();
  });

  it('does not bring back what was erased, or replaced, when just that record is damaged', async () => {
    for (const hit of ['erasure', 'replacement']) {
      const { open, close, segments } = await diskBench();
      const disk = await open();
      disk.put(keyOf('x'), entryOf('old'));
      await disk.idle();
      const { bytes } = disk.stats();
      if (hit === 'erasure') await disk.erase(keyOf('x'));
      else disk.put(keyOf('x'), entryOf('new'));
      await disk.idle();
      disk.put(keyOf('y'), entryOf('y'));
      await close(disk);
      const [path = ''] = await segments();
      await flip(path, bytes + 45);
      const again = await open();
      await expect(again.get(keyOf('x'))).resolves.toBeUndefined();
      await expect(again.get(keyOf('y'))).resolves.toEqual(entryOf('y'));
    }
  });

  it('does not bring back what was erased when the segment with the erasure is gone', async () => {
    const { open, close, paths, segments } = await filledBench();
    const disk = await open();
    await disk.erase({ app: 'org/app' });
    const erasing = (await segments()).at(-1)!;
    for (const index of numbers) disk.put({ ...keyOf(index), app: 'org/other' }, entryOf(index));
    await disk.idle();
    await close(disk);
    expect((await segments()).at(-1)).not.toBe(erasing);
    await rm(erasing);
    expect(await segments()).toContain(paths[0]);
    const again = await open();
    expect(await readable(again)).toBe(0);
    expect(again.stats().entries).toBeGreaterThan(10);
    expect(await segments()).not.toContain(paths[0]);
  });

  it('may hold anything else, which is neither followed nor touched', async () => {
    const { open, close, folder, dir, paths } = await filledBench();
    const outside = join(dir, 'outside');
    await copyFile(paths[0]!, outside);
    const kept = await readFile(outside);
    await rm(paths[0]!);
    await symlink(outside, paths[0]!);
    await symlink('/nowhere', join(folder, '77'));
    await symlink(outside, join(folder, '999999999'));
    await mkdir(join(folder, '88'));
    const names = ['notes.txt', '0', '01', '1.bak', '-3', '1e9', '12345678901234567890', 'lock.old'];
    for (const name of names) await writeFile(join(folder, name), name);
    const disk = await open();
    expect(await readable(disk)).toBeLessThan(COUNT);
    await expectToWork(disk);
    await close(disk);
    await expect(readFile(outside)).resolves.toEqual(kept);
    for (const name of names) await expect(readFile(join(folder, name), 'utf8')).resolves.toBe(name);
  });

  it('may be a file that cannot be opened: it goes, and the rest is there', async () => {
    const { open, paths, segments } = await filledBench();
    // Root may read everything, so the mode of the file would prove nothing.
    const { files } = judgedFiles(({ call, path }) =>
      call === 'open' && path === paths[1] ? { error: failure('EACCES') } : undefined,
    );
    const disk = await open({ files });
    expect(await readable(disk)).toBeGreaterThan(COUNT / 2);
    expect(await segments()).not.toContain(paths[1]);
  });

  it('is left alone when there are no descriptors to open it with, and opened later', async () => {
    const { clock, open, told } = await filledBench();
    let isShort = true;
    const { files } = judgedFiles(({ call, path }) =>
      call === 'open' && path.endsWith('/3') && isShort ? { error: failure('EMFILE') } : undefined,
    );
    const disk = await open({ files });
    expect(disk.stats().state).toBe('away');
    expect(told).toMatchObject([{ level: 'warn', details: { reason: 'EMFILE' } }]);
    isShort = false;
    await clock.advance(1000);
    await disk.idle();
    expect(await readable(disk)).toBe(COUNT);
    expect(told.at(-1)).toMatchObject({ level: 'info' });
  });
});

describe('what lies in the folder of a running process', () => {
  it('may be damaged: the record is a miss, and stays one', async () => {
    const { open, close, paths } = await filledBench();
    let disk = await open();
    const [, path = ''] = paths;
    await zero(path, HEAD_BYTES, (await stat(path)).size);
    const left = await readable(disk);
    expect(left).toBeLessThan(COUNT);
    const { corrupt, entries } = disk.stats();
    expect([corrupt, entries]).toEqual([COUNT - left, left]);
    await disk.idle();
    await close(disk);
    disk = await open();
    expect(await readable(disk)).toBe(left);
  });

  it('may be cut short, or have records change places', async () => {
    const { open, paths } = await filledBench();
    const disk = await open();
    await truncate(paths[1]!, 700);
    const bytes = await readFile(paths[2]!);
    const [a, b, c] = [0, 1, 2].map((rank) => HEAD_BYTES + rank * RECORD_BYTES);
    await writeFile(
      paths[2]!,
      Buffer.concat([bytes.subarray(0, a), bytes.subarray(b, c), bytes.subarray(a, b), bytes.subarray(c)]),
    );
    expect(await readable(disk)).toBeLessThan(COUNT);
    await expectToWork(disk);
  });
});
