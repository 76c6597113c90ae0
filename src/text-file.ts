/**
 * Reads a small file that an operator named, and says in words what is wrong with one that cannot be read. Nothing by that
 * name, not a pipe on which nobody writes nor a device that never ends, holds up the process or fills its memory.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Why nothing was read; `isThere`: there is something by that name. */
export type Unread = { problem: string; isThere: boolean };

/** What was read, or why nothing was. */
export type TextFile = { text: string } | Unread;

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

/** Reads a file of UTF-8 text within bounds. */
export async function readTextFile(file: string, rules: TextFileRules): Promise<TextFile> {
  const read = await readSmallFile(file, rules);
  if ('problem' in read) return read;
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(read.bytes) };
  } catch (cause) {
    return unread(cause);
  }
}

/** Reads a file within bounds. */
export async function readSmallFile(
  file: string,
  { maxBytes, maxText, onlyRegular = false }: TextFileRules,
): Promise<{ bytes: Buffer } | Unread> {
  try {
    if (onlyRegular) {
      const found = await stat(file);
      if (!found.isFile() && !found.isDirectory()) {
        return { problem: 'is no file but a pipe, a socket or a device', isThere: true };
      }
    }
    // Opening a pipe would else wait for somebody who writes into it.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const read = await readUpTo(handle, maxBytes + 1);
    if (read === undefined) return { problem: 'is a pipe on which nothing comes', isThere: true };
    if (read.length > maxBytes) return { problem: `has more than ${maxText}; is it the right file?`, isThere: true };
    return { bytes: read };
  } catch (cause) {
    return unread(cause);
  }
}

function unread(cause: unknown): Unread {
  const code = codeOf(cause);
  return { problem: UNREADABLE[code] ?? `cannot be read (${code})`, isThere: !NOT_THERE.has(code) };
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';

/** How often a pipe is asked on which nothing has come yet, and for how long, in ms. */
const ASK_MS = 20;
const PATIENCE_MS = 5000;

async function readUpTo(handle: FileHandle, length: number): Promise<Buffer | undefined> {
  const buffer = Buffer.alloc(length);
  let [filled, waitedMs] = [0, 0];
  while (filled < length) {
    const read = await handle.read(buffer, filled, length - filled).catch((error: unknown) => error);
    if (codeOf(read) === 'EAGAIN') {
      if (waitedMs >= PATIENCE_MS) return undefined;
      waitedMs += ASK_MS;
      await sleep(ASK_MS);
      continue;
    }
    if (read instanceof Error) throw read;
    const { bytesRead } = read as { bytesRead: number };
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
