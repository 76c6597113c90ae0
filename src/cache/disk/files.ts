import { constants } from 'node:fs';
import type { chmod, lstat, mkdir, open, readdir, statfs, unlink } from 'node:fs/promises';

/** What the disk tier asks of the file system: part of node:fs/promises, so that a test can let each step fail. */
export type Files = {
  chmod: typeof chmod;
  mkdir: typeof mkdir;
  lstat: typeof lstat;
  open: typeof open;
  readdir: typeof readdir;
  statfs: typeof statfs;
  unlink: typeof unlink;
};

/** Opens what is there for reading and writing, but follows no symbolic link. */
export const OPEN = constants.O_RDWR | constants.O_NOFOLLOW;

/** Makes a file that must not be there yet. */
export const CREATE = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_CREAT | constants.O_EXCL;

/** The system's code of an error, such as ENOSPC. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);

/** Whether this is for want of something that may be there again in a moment, and tells nothing of the file. */
export const isPassing = (error: unknown): boolean => ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN'].includes(codeOf(error));
