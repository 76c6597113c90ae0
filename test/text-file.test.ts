import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readSmallFile, readTextFile } from '../src/text-file.ts';

const RULES = { maxBytes: 1000, maxText: '1000 bytes' };
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chatfiles-text-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fileOf(content: string | Buffer): Promise<string> {
  const file = join(folder, String(Math.random()));
  await writeFile(file, content);
  return file;
}

describe('a small file', () => {
  it('is read as text, or as bytes', async () => {
    expect(await readTextFile(await fileOf('grüße'), RULES)).toEqual({ text: 'grüße' });
    expect(await readSmallFile(await fileOf(Buffer.from([255, 0])), RULES)).toEqual({ bytes: Buffer.from([255, 0]) });
  });

  it('may be a pipe into which somebody writes, as a shell makes one of a command', async () => {
    const pipe = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    // It holds the pipe, and writes only when it is told to.
    const writer = spawn('sh', ['-c', `exec 3<>'${pipe}'; echo ready; read go; printf 'a: 1' >&3`]);
    onTestFinished(() => void writer.kill());
    await once(writer.stdout, 'data');
    const reading = readTextFile(pipe, RULES);
    writer.stdin.end('go\n');
    expect(await reading).toEqual({ text: 'a: 1' });
  });

  it.each([
    ['that is not there', () => join(folder, 'nothing'), 'there is no such file', false],
    ['that is a folder', () => folder, 'is a folder; name the file in it', true],
    ['that is too large', () => fileOf('x'.repeat(1001)), 'has more than 1000 bytes; is it the right file?', true],
    ['that never ends', () => '/dev/zero', 'has more than 1000 bytes; is it the right file?', true],
  ])('%s is told in words', async (_case, file, problem, isThere) => {
    expect(await readSmallFile(await file(), RULES)).toEqual({ problem, isThere });
  });

  it('that is no text is told in words', async () => {
    expect(await readTextFile(await fileOf(Buffer.from([255])), RULES)).toMatchObject({ isThere: true });
  });
});
