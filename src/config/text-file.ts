/**
 * Reads a small text file that an operator named, and says in words what is wrong with one that cannot be read.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';

/** What was read, or why nothing was; `isThere`: there is something by that name. */
export type TextFile = { text: string } | { problem: string; isThere: boolean };

/** What may be read: how much at most, how that size is said, and whether pipes and devices will do. */
export type TextFileRules = { maxBytes: number; maxText: string; onlyRegular?: boolean };

const UNREADABLE: Record<string, string> = {
  ENOENT: 'there is no such file',
  EISDIR: 'is a folder; name the file in it',
  EACCES: 'may not be read by this user; check its permissions',
  EPERM: 'may not be read by this user; check its permissions',
  ENOTDIR: 'a part of the path is no folder',
  ELOOP: 'is a link that leads in a circle',
  ENAMETOOLONG: 'is longer than the name of a file can be',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'is not UTF-8 text; save it as UTF-8',
};

const NOT_THERE = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

/** Reads a file of UTF-8 text within bounds: a device that never ends fills no memory. */
export async function readTextFile(
  file: string,
  { maxBytes, maxText, onlyRegular = false }: TextFileRules,
): Promise<TextFile> {
  try {
    // Asked before it is opened: opening a pipe waits for somebody who writes into it.
    if (onlyRegular) {
      const found = await stat(file);
      if (!found.isFile() && !found.isDirectory()) {
        return { problem: 'is no file but a pipe, a socket or a device', isThere: true };
      }
    }
    await using handle = await open(file);
    const read = await readUpTo(handle, maxBytes + 1);
    if (read.length > maxBytes) return { problem: `has more than ${maxText}; is it the right file?`, isThere: true };
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(read) };
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    return { problem: UNREADABLE[code] ?? `cannot be read (${code})`, isThere: !NOT_THERE.has(code) };
  }
}

async function readUpTo(handle: FileHandle, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
