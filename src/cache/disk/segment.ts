import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, CREATE, type Files, isPassing, OPEN } from './files.ts';
import { decodeHead, encodeHead, HEAD_BYTES, type Head, MARK_BYTES } from './record.ts';

/** One file of the log: written at its end by one writer, read anywhere by many. */
export class Segment {
  readonly number: number;
  readonly mark: Buffer;
  /** How many records in older segments have made others void. */
  readonly voids: number;
  readonly path: string;
  readonly #handle: FileHandle;
  /** The end of what is whole: where the next record goes. */
  tail: number;
  /** When the youngest entry in it was stored; unknown until it was looked through. */
  youngestAt: number;

  private constructor(handle: FileHandle, path: string, head: Head, tail: number, youngestAt: number) {
    this.#handle = handle;
    this.path = path;
    this.number = head.number;
    this.mark = head.mark;
    this.voids = head.voids;
    this.tail = tail;
    this.youngestAt = youngestAt;
  }

  /** Makes a new one; rejects if there is anything of that name. */
  static async create(files: Files, folder: string, number: number, voids: number): Promise<Segment> {
    const path = join(folder, String(number));
    const handle = await files.open(path, CREATE, 0o600);
    const head = { number, voids, mark: randomBytes(MARK_BYTES) };
    try {
      await writeAll(handle, [encodeHead(head)], 0);
      return new Segment(handle, path, head, HEAD_BYTES, 0);
    } catch (error) {
      await handle.close().catch(() => {});
      await files.unlink(path).catch(() => {});
      throw error;
    }
  }

  /**
   * Opens what an earlier process has left. `unfinished` is one that was never written to: the process died while it
   * made it. `foreign` is no segment, or not the one of this name, or cannot be read.
   */
  static async open(files: Files, folder: string, number: number): Promise<Segment | 'unfinished' | 'foreign'> {
    const path = join(folder, String(number));
    let handle: FileHandle | undefined;
    let isFinished = true;
    try {
      handle = await files.open(path, OPEN);
      const stat = await handle.stat();
      isFinished = stat.size >= HEAD_BYTES;
      const bytes = Buffer.alloc(HEAD_BYTES);
      await handle.read(bytes, 0, HEAD_BYTES, 0);
      const head = stat.isFile() ? decodeHead(bytes, number) : undefined;
      if (head) return new Segment(handle, path, head, stat.size, Infinity);
    } catch (error) {
      if (isPassing(error)) {
        await handle?.close().catch(() => {});
        throw error;
      }
    }
    await handle?.close().catch(() => {});
    return isFinished ? 'foreign' : 'unfinished';
  }

  /** Fills a buffer from an offset on, and returns what there was to fill it with. */
  async read(into: Buffer, offset: number): Promise<Buffer> {
    const { bytesRead } = await this.#handle.read(into, 0, into.length, offset);
    return bytesRead === into.length ? into : into.subarray(0, bytesRead);
  }

  /** Writes behind the tail. The tail is moved by whoever knows what the bytes mean. */
  write(pieces: Buffer[]): Promise<void> {
    return writeAll(this.#handle, pieces, this.tail);
  }

  /** Waits until what was written would survive a power cut, too. */
  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  /** Cuts off whatever stands behind the tail. */
  cut(): Promise<void> {
    return this.#handle.truncate(this.tail);
  }

  /** Whether the file has lost its name: somebody has removed it, or the folder around it. */
  async isGone(): Promise<boolean> {
    return (await this.#handle.stat()).nlink === 0;
  }

  /** Closes it once no read is under way (a FileHandle waits), lest it hits the next file with this descriptor. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}

/** All or a failure: a write that stops short is how a disk says that it is full. */
async function writeAll(handle: FileHandle, pieces: Buffer[], offset: number): Promise<void> {
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  const { bytesWritten } = await handle.writev(pieces, offset);
  if (bytesWritten < bytes) throw Object.assign(new Error('the write stopped short'), { code: 'ENOSPC' });
}

/** Removes a file; it is all the same if it has gone already. */
export async function remove(files: Files, path: string): Promise<void> {
  try {
    await files.unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}
