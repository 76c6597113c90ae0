import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SpoolFile, spoolFault, systemCode } from './spool-file.ts';

/** The private folder of one process for its spool files, made again when somebody has removed it. */
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
      if (isGone && this.#path === made) this.#path = undefined;
      throw fault;
    }
  }

  async remove(): Promise<void> {
    const path = await this.#path?.catch(() => undefined);
    if (path !== undefined) await rm(path, { recursive: true, force: true });
  }

  #make(): Promise<string> {
    this.#path ??= (async () => {
      try {
        await mkdir(this.#parent, { recursive: true });
        return await mkdtemp(join(this.#parent, 'chatfiles-spool-'));
      } catch (error) {
        this.#path = undefined;
        throw error;
      }
    })();
    return this.#path;
  }
}
