import { execFile } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';

/** More than Node has threads for files. */
const THREADS = 8;

/**
 * Lets no call for a file of this process come to its end, as a disk that hangs does: all threads for files wait for the
 * other end of a pipe. The returned function lets them go on.
 */
export async function stickDisk(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'stuck-'));
  const pipe = join(folder, 'pipe');
  await promisify(execFile)('mkfifo', [pipe]);
  const stuck = Array.from({ length: THREADS }, () => open(pipe, 'r'));
  let isStuck = true;
  const release = async () => {
    if (!isStuck) return;
    isStuck = false;
    const other = openSync(pipe, 'r+');
    await Promise.all(stuck.map(async (opening) => (await opening).close()));
    closeSync(other);
    await rm(folder, { recursive: true });
  };
  onTestFinished(release);
  return release;
}
