import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SpoolFile, spoolFault, systemCode } from './spool-file.ts';

/** What is left for the end of a process that has no time to dispose of anything. */
const left = new Set<string>();

function removeLeft(): void {
  for (const path of left) rmSync(path, { recursive: true, force: true });
}

function leave(path: string): void {
  // One listener for all folders: a listener for each would run into Node's warning about leaks.
  if (left.size === 0) process.on('exit', removeLeft);
  left.add(path);
}

function takeBack(path: string): void {
  left.delete(path);
  if (left.size === 0) process.off('exit', removeLeft);
}

/**
 * The private folder of one process for its spool files, made again when somebody has removed it.
 *
 * It goes when it is disposed of, or else when the process exits, as it does at a second signal.
 */
export class SpoolFolder {
  readonly #parent: string;
  #path: Promise<string> | undefined;

  private constructor(parent: string) {
    this.#parent = parent;
  }

  /** Makes the folder, in the system's temporary one unless told where. */
  static async create(parent = tmpdir()): Promise<SpoolFolder> {
    const folder = new SpoolFolder(parent);
    await folder.#make();
    return folder;
  }

  /** Opens a new file in it; the first call after the folder was removed fails, the next one makes a new folder. */
  async openFile(): Promise<SpoolFile> {
    const made = this.#make();
    const path = await made.catch((cause: unknown) => {
      throw spoolFault('making its folder', cause);
    });
    try {
      return await SpoolFile.open(path);
    } catch (fault) {
      const code = fault instanceof Error ? systemCode(fault.cause) : undefined;
      const isGone = code === 'ENOENT' || code === 'ENOTDIR';
      if (isGone && this.#path === made) {
        this.#path = undefined;
        takeBack(path);
      }
      throw fault;
    }
  }

  async remove(): Promise<void> {
    const path = await this.#path?.catch(() => undefined);
    if (path === undefined) return;
    await rm(path, { recursive: true, force: true });
    takeBack(path);
  }

  #make(): Promise<string> {
    this.#path ??= (async () => {
      try {
        await mkdir(this.#parent, { recursive: true });
        const path = await mkdtemp(join(this.#parent, 'chatfiles-spool-'));
        leave(path);
        return path;
      } catch (error) {
        this.#path = undefined;
        throw error;
      }
    })();
    return this.#path;
  }
}
