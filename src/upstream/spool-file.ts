import { randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../errors.ts';

/** How soon a client may come back when the spool has no room. */
export const SPOOL_RETRY_AFTER_MS = 1000;

/** The system's code of an error, such as ENOENT. */
export const systemCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** The failure of the disk under the spool; its code (ENOSPC, EMFILE, ENOENT …) goes into the log. */
export const spoolFault = (doing: string, cause: unknown): GatewayError =>
  new GatewayError('SPOOL_FULL', {
    retryAfterMs: SPOOL_RETRY_AFTER_MS,
    reason: `the spool's disk: ${systemCode(cause) ?? 'error'} when ${doing}`,
    cause,
  });

/**
 * A private file without a name, read and written at given positions; what fails on it is SPOOL_FULL.
 *
 * It is unlinked as soon as it is open, so that nothing of it is left however the process ends.
 */
export class SpoolFile {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Opens a new one in a folder. */
  static async open(folder: string): Promise<SpoolFile> {
    const path = join(folder, randomUUID());
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'wx+', 0o600);
      await unlink(path);
      return new SpoolFile(handle);
    } catch (cause) {
      await handle?.close().catch(() => {});
      throw spoolFault('opening a file', cause);
    }
  }

  /** Writes all of the bytes, beginning at a position. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    let written = 0;
    try {
      while (written < bytes.length) {
        const result = await this.#handle.write(bytes, written, bytes.length - written, position + written);
        written += result.bytesWritten;
      }
    } catch (cause) {
      throw spoolFault('writing', cause);
    }
  }

  /** Fills all of the bytes from a position on. */
  async read(bytes: Uint8Array, position: number): Promise<void> {
    let filled = 0;
    try {
      while (filled < bytes.length) {
        const result = await this.#handle.read(bytes, filled, bytes.length - filled, position + filled);
        if (result.bytesRead === 0) throw new Error('the file is shorter than what was written');
        filled += result.bytesRead;
      }
    } catch (cause) {
      throw spoolFault('reading', cause);
    }
  }

  /** Closes it once no read or write is under way (a FileHandle waits), lest these hit the next file with its number. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}
