import * as nodeFiles from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { CacheKey, Entry } from '../../src/cache/entry.ts';
import { createDisk, type Disk, type DiskDeps, type DiskOptions } from '../../src/cache/disk.ts';
import type { Files } from '../../src/cache/disk/files.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

export const DAY_MS = 86_400_000;

export const keyOf = (name: string | number): CacheKey => ({
  app: 'org/app',
  file: `file-${name}`,
  variant: '170x170',
});

/** An entry whose bytes tell which one it is. */
export const entryOf = (name: string | number, bytes = 200, storedAt = 1_000_000): Entry => ({
  storedAt,
  fields: { 'content-type': 'image/jpeg', name: String(name) },
  body: Buffer.alloc(bytes, `<${name}>`),
});

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const dir = await nodeFiles.mkdtemp(join(tmpdir(), 'cache-test-'));
  onTestFinished(() => nodeFiles.rm(dir, { recursive: true, force: true }));
  return dir;
}

export const OPTIONS = { maxBytes: 4_000_000, segmentBytes: 4096, minFreeBytes: 0, lifetimeMs: DAY_MS };

/** What a disk told its operator. */
export type Told = { level: string; message: string; details: object | undefined };

/** Opens disks over one folder, on a clock that stands still. What is open at the end of the test is closed. */
export async function diskBench(options: Partial<DiskOptions> = {}) {
  const dir = options.dir ?? (await temporaryFolder());
  const clock = createFakeClock();
  const told: Told[] = [];
  const notice = (level: string, message: string, details?: object) => void told.push({ level, message, details });
  const open = async (deps: Partial<DiskDeps> = {}, more: Partial<DiskOptions> = {}): Promise<Disk> => {
    const disk = createDisk({ ...OPTIONS, ...options, ...more, dir }, { clock, notice, ...deps });
    onTestFinished(() => disk[Symbol.asyncDispose]());
    await disk.idle();
    return disk;
  };
  const close = (disk: Disk) => disk[Symbol.asyncDispose]();
  const folder = join(dir, 'v1');
  /** The paths of the segments, the oldest first. */
  const segments = async () => {
    const names = (await nodeFiles.readdir(folder)).filter((name) => /^\d+$/.test(name));
    return names.toSorted((a, b) => Number(a) - Number(b)).map((name) => join(folder, name));
  };
  return { dir, folder, clock, told, open, close, segments };
}

/** One call of the file system, before it is made. */
export type Step = { call: string; path: string };

/** What becomes of a step: it goes on, it throws, or a write is cut short after so many bytes and then throws. */
export type Verdict = undefined | { error: Error; afterBytes?: number };

export const failure = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

/**
 * The real file system, with a judge before every step. `datasync` does nothing: a process that dies needs no more than
 * what was written, and the tests would wait for the disk.
 */
export function judgedFiles(judge: (step: Step) => Verdict) {
  const open = new Set<FileHandle>();
  const check = (call: string, path: string) => {
    const verdict = judge({ call, path });
    if (verdict) throw verdict.error;
  };
  const judged =
    (call: keyof Files) =>
    async (path: string, ...rest: unknown[]) => {
      check(call, path);
      return Reflect.apply(nodeFiles[call], undefined, [path, ...rest]) as Promise<unknown>;
    };
  const watch = (handle: FileHandle, path: string) => ({
    read: async (...args: Parameters<FileHandle['read']>) => {
      check('read', path);
      return handle.read(...args);
    },
    stat: async () => {
      check('stat', path);
      return handle.stat();
    },
    truncate: async (bytes: number) => {
      check('truncate', path);
      return handle.truncate(bytes);
    },
    datasync: async () => check('datasync', path),
    async writev(pieces: Buffer[], position: number) {
      const verdict = judge({ call: 'writev', path });
      if (!verdict) return handle.writev(pieces, position);
      const bytes = Buffer.concat(pieces).subarray(0, verdict.afterBytes ?? 0);
      if (bytes.length > 0) await handle.write(bytes, 0, bytes.length, position);
      throw verdict.error;
    },
    async close() {
      open.delete(handle);
      await handle.close();
    },
  });
  const files = {
    ...Object.fromEntries(
      (['chmod', 'lstat', 'mkdir', 'readdir', 'statfs', 'unlink'] as const).map((call) => [call, judged(call)]),
    ),
    open: async (path: string, flags: number, mode?: number) => {
      check('open', path);
      const handle = await nodeFiles.open(path, flags, mode);
      open.add(handle);
      return watch(handle, path);
    },
  } as unknown as Files;
  /** Closes what a process that died would have left to the system. */
  const abandon = async () => {
    await Promise.all([...open].map((handle) => handle.close().catch(() => {})));
    open.clear();
  };
  return { files, abandon };
}

/** A lock that everybody gets: for processes that are only played. */
export const openLock = async () => ({ close() {} });
