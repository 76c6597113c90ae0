import { chmod, lstat } from 'node:fs/promises';

/** What holds a folder: closing it lets go. */
export type Lock = { close(): void };

/** Takes the lock that a file stands for, or throws; FolderTaken if another process has it. */
export type TakeLock = (path: string) => Promise<Lock>;

/** Another process owns the folder. */
export class FolderTaken extends Error {
  override readonly name = 'FolderTaken';
}

const SQLITE_BUSY = 5;

/**
 * Takes the lock through SQLite, which is the only way in Node to fcntl's locks. The file stays empty.
 *
 * The kernel lets go of such a lock when its process dies, however it dies; it holds between containers that share the
 * folder, and does not care for process ids, which are all 1 there. A file with an id in it, or a socket that is
 * unlinked when nobody listens, can each be taken by two that come at the same time.
 */
export const takeLock: TakeLock = async (path) => {
  const there = await lstat(path).catch(() => undefined);
  if (there && (!there.isFile() || there.size > 0)) throw new Error(`${path} is not a lock of ours`);
  // Only for those who use a disk: the module is not small.
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path);
  try {
    // No file for a journal: nothing is ever written.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) throw new FolderTaken();
    throw error;
  }
  await chmod(path, 0o600).catch(() => {});
  return { close: () => database.close() };
};
