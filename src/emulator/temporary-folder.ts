import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder of our own that does not outlive the process. */
export type TemporaryFolder = AsyncDisposable & { path: string };

const open = new Set<string>();

function removeAll(): void {
  for (const path of open) rmSync(path, { recursive: true, force: true });
  open.clear();
}

/** Makes a folder inside `parent`; it goes when it is disposed of, or else when the process exits. */
export async function createTemporaryFolder(parent: string = tmpdir()): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(parent, 'chatfiles-emulator-'));
  // One listener for all folders: a listener for each would run into Node's warning about leaks.
  if (open.size === 0) process.once('exit', removeAll);
  open.add(path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
      open.delete(path);
      if (open.size === 0) process.removeListener('exit', removeAll);
    },
  };
}
