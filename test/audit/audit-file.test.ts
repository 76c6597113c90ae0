import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { openAuditFile } from '../../src/audit/audit-file.ts';
import { until } from '../kit/cached.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { stickDisk } from '../kit/stuck-disk.ts';

const CHILD = fileURLToPath(new URL('audit-file.child.ts', import.meta.url));
const OPTIONS = { rotateBytes: 100 * 1024, rotateEvery: 'never', keepFiles: 3 } as const;

async function folderOf(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'audit-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function open(path: string, more: Partial<{ rotateBytes: number; keepFiles: number }> = {}) {
  let changes = 0;
  const file = openAuditFile({ ...OPTIONS, ...more, path }, systemClock, () => (changes += 1));
  onTestFinished(() => file[Symbol.asyncDispose]());
  return { file, changes: () => changes };
}

const textIn = (path: string) => readFile(path, 'utf8').catch(() => '');

describe('the file of the audit log', () => {
  it("gets the lines in order, and is its owner's alone", async () => {
    const path = join(await folderOf(), 'audit.log');
    await writeFile(path, 'earlier\n', { mode: 0o644 });
    const { file } = open(path);
    for (const line of ['a\n', 'b\n', 'c\n']) expect(file.write(line)).toBe(true);
    await until(async () => (await textIn(path)) === 'earlier\na\nb\nc\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is written to its end when it is closed', async () => {
    const path = join(await folderOf(), 'audit.log');
    const { file } = open(path);
    for (let index = 0; index < 1000; index += 1) file.write(`${index}\n`);
    await file[Symbol.asyncDispose]();
    expect((await textIn(path)).trimEnd().split('\n')).toHaveLength(1000);
    expect(file.write('late\n')).toBe(false);
  });

  it('is rotated by its size, and a bounded number of old ones stays', async () => {
    const folder = await folderOf();
    const { file } = open(join(folder, 'audit.log'), { rotateBytes: 1024, keepFiles: 2 });
    for (let index = 0; index < 10; index += 1) {
      const line = `${String(index).repeat(1100)}\n`;
      file.write(line);
      await until(async () => (await textIn(join(folder, 'audit.log.1'))) === line);
    }
    expect((await readdir(folder)).toSorted()).toEqual(['audit.log', 'audit.log.1', 'audit.log.2']);
    expect((await textIn(join(folder, 'audit.log.2'))).startsWith('8')).toBe(true);
    expect((await stat(join(folder, 'audit.log.2'))).mode & 0o777).toBe(0o600);
  });

  it('is opened anew after somebody has moved it away', async () => {
    const folder = await folderOf();
    const path = join(folder, 'audit.log');
    const { file } = open(path);
    file.write('before\n');
    await until(async () => (await textIn(path)) === 'before\n');
    await rename(path, join(folder, 'moved'));
    file.reopen();
    file.write('behind\n');
    await until(async () => (await textIn(path)) === 'behind\n');
    expect(await textIn(join(folder, 'moved'))).toBe('before\n');
  });

  it('waits for a place that cannot be written to, and goes on when it can', async () => {
    const folder = await folderOf();
    const path = join(folder, 'audit.log');
    await mkdir(path);
    const { file, changes } = open(path);
    await until(() => file.trouble !== undefined);
    expect(file.write('a\n')).toBe(true);
    await rm(path, { recursive: true });
    await until(() => file.trouble === undefined);
    expect((await textIn(path)).trim()).toBe('a');
    expect(changes()).toBe(2);
  });

  it('finds out that it can be written to again though nobody has anything to write', async () => {
    const path = join(await folderOf(), 'audit.log');
    await mkdir(path);
    const { file } = open(path);
    await until(() => file.trouble !== undefined);
    await rm(path, { recursive: true });
    await until(() => file.trouble === undefined);
    expect((await stat(path)).isFile()).toBe(true);
  });

  it('loses no line when the disk is full in the middle of one', async () => {
    const path = join(await folderOf(), 'audit.log');
    await writeFile(path, `${'x'.repeat(8000)}\n`);
    // A limit on the size of files breaks writes off as a full disk does: the first one short, the next one not at all.
    const command = `ulimit -f 16; exec "$0" "$1" "$2"`;
    const { stdout } = await promisify(execFile)('bash', ['-c', command, process.execPath, CHILD, path]);
    expect(stdout).toBe('EFBIG');
    const lines = `${await textIn(`${path}.moved`)}\n${await textIn(path)}`.split('\n');
    const whole = lines.filter((line) => line.endsWith('}')).map((line) => (JSON.parse(line) as { n: number }).n);
    // Nor is one there twice.
    expect(whole.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });

  it('lets no more than a megabyte wait for the disk', async () => {
    const path = join(await folderOf(), 'audit.log');
    await mkdir(path);
    const { file } = open(path);
    const line = `${'x'.repeat(1023)}\n`;
    const taken = Array.from({ length: 2000 }, () => file.write(line)).filter(Boolean);
    expect(taken).toHaveLength(1024);
    expect(file.waiting).toBe(1024);
  });

  it('leaves most of that to lines that are not minor', async () => {
    const path = join(await folderOf(), 'audit.log');
    await mkdir(path);
    const { file } = open(path);
    const line = `${'x'.repeat(1023)}\n`;
    const write = (isMinor: boolean) => Array.from({ length: 2000 }, () => file.write(line, isMinor)).filter(Boolean);
    expect(write(true)).toHaveLength(256);
    expect(write(false)).toHaveLength(768);
  });

  it('is in trouble while the disk does not answer, or is slower than the lines come', async () => {
    const path = join(await folderOf(), 'audit.log');
    const clock = createFakeClock();
    const file = openAuditFile({ ...OPTIONS, path }, clock, () => {});
    file.write('a\n');
    await until(() => file.waiting === 0);
    const release = await stickDisk();
    file.write('b\n');
    await clock.advance(4999);
    expect(file.trouble).toBeUndefined();
    await clock.advance(1);
    expect(file.trouble).toBe('the disk has not answered for 5 s');
    await release();
    await until(() => file.trouble === undefined);

    const releaseAgain = await stickDisk();
    const line = `${'x'.repeat(1023)}\n`;
    for (let index = 0; index < 768; index += 1) file.write(line);
    expect(file.trouble).toBeUndefined();
    file.write(line);
    expect(file.trouble).toBe('the disk is too slow');
    await releaseAgain();
    await until(() => file.trouble === undefined && file.waiting === 0);
    await file[Symbol.asyncDispose]();
  });

  it('is in trouble where it cannot even be opened, because the disk does not answer', async () => {
    const path = join(await folderOf(), 'audit.log');
    const release = await stickDisk();
    const clock = createFakeClock();
    const file = openAuditFile({ ...OPTIONS, path }, clock, () => {});
    await clock.advance(5000);
    expect(file.trouble).toBe('the disk has not answered for 5 s');
    await release();
    await until(() => file.trouble === undefined);
    await file[Symbol.asyncDispose]();
  });

  it('says what waits when it is closed over a disk that does not answer', async () => {
    const path = join(await folderOf(), 'audit.log');
    const clock = createFakeClock();
    const file = openAuditFile({ ...OPTIONS, path }, clock, () => {});
    file.write('a\n');
    await until(() => file.waiting === 0);
    await stickDisk();
    for (let index = 0; index < 3; index += 1) file.write('b\n');
    const closed = file[Symbol.asyncDispose]();
    await clock.advance(2000);
    await closed;
    expect(file.waiting).toBe(3);
  });

  it('makes the folders that it lies in', async () => {
    const path = join(await folderOf(), 'one', 'two', 'audit.log');
    const { file } = open(path);
    expect(file.write('a\n')).toBe(true);
    await until(async () => (await textIn(path)) === 'a\n');
  });

  it('finds at once that a folder cannot be made', async () => {
    const { file } = open('/proc/nope/there/audit.log');
    await until(() => file.trouble !== undefined);
    expect(file.trouble).toBe('ENOENT');
  });

  it('is closed within a moment also where it could never be opened', async () => {
    const { file } = open('/dev/full');
    expect(file.write('a\n')).toBe(true);
    await until(() => file.trouble !== undefined);
    await expect(file[Symbol.asyncDispose]()).resolves.toBeUndefined();
  });
});
