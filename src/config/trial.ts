/**
 * What only shows when a configuration is used, found without using it: nothing is listened on, connected to or written.
 */
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemClock } from '../clock.ts';
import { showBytes } from '../quantity.ts';
import { openServerTls } from '../server/tls.ts';
import { openTls } from '../upstream/tls.ts';
import { NOWHERE, type Place, type Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** What came of trying one part: what cannot be used, by its key, and what its operator should know. */
export type Tried = { mistakes: { path: string; message: string }[]; warnings?: string[] };

/** Every part that can be tried; whoever reads a file that a key names has a line here. */
const TRIALS: readonly ((config: Config) => Promise<Tried>)[] = [
  tryUpstreamTls,
  tryServerTls,
  ({ spool }) => tryFolder(spool.dir, { path: 'spool.dir', sizePath: 'spool.diskBytes', bytes: spool.diskBytes }),
  ({ cache: { enabled, disk } }) =>
    tryFolder(enabled ? disk.dir : undefined, {
      path: 'cache.disk.dir',
      sizePath: 'cache.disk.maxBytes',
      bytes: disk.maxBytes,
    }),
];

/** Reads the files that the configuration names and looks at its folders. */
export async function tryOut(
  config: Config,
  origins: ReadonlyMap<string, Place>,
): Promise<{ problems: Problem[]; warnings: string[] }> {
  const tried = await Promise.all(TRIALS.map((trial) => trial(config)));
  const problems = tried.flatMap(({ mistakes }) =>
    mistakes.map(({ path, message }) => ({ place: origins.get(path) ?? NOWHERE, path, message })),
  );
  return { problems, warnings: tried.flatMap(({ warnings = [] }) => warnings) };
}

async function tryUpstreamTls({ upstream }: Config): Promise<Tried> {
  const tls = await openTls(upstream);
  const mistakes = 'mistakes' in tls ? tls.mistakes : [];
  return { mistakes: mistakes.map(({ key, message }) => ({ path: `upstream.${key}`, message })) };
}

async function tryServerTls({ listen }: Config): Promise<Tried> {
  const tls = await openServerTls(listen.tls, systemClock.now());
  if (tls === undefined) return { mistakes: [] };
  if (!('mistakes' in tls)) return { mistakes: [], warnings: tls.warnings };
  return { mistakes: tls.mistakes.map(({ key, message }) => ({ path: `listen.tls.${key}`, message })) };
}

/** What a folder is for: the key that names it, and how much it may come to hold. */
type Purpose = { path: string; sizePath: string; bytes: number };

async function tryFolder(dir: string | undefined, { path, sizePath, bytes }: Purpose): Promise<Tried> {
  if (dir === undefined) return { mistakes: [] };
  const found = await findFolder(resolve(dir));
  if ('message' in found) return { mistakes: [{ path, message: found.message }] };
  const { blocks, bsize } = await statfs(found.folder);
  const mb = Math.floor((blocks * bsize) / 1024 ** 2);
  if (blocks * bsize >= bytes) return { mistakes: [] };
  return { mistakes: [], warnings: [`${sizePath} is ${showBytes(bytes)}, but the disk of ${path} has ${mb}MB in all`] };
}

/** Finds where the folder is; one that is not there yet is made at the start, so the nearest one above it counts. */
async function findFolder(dir: string): Promise<{ folder: string } | { message: string }> {
  try {
    if (!(await stat(dir)).isDirectory()) return { message: `cannot be a folder: ${dir} is none` };
    await access(dir, constants.W_OK | constants.X_OK);
    return { folder: dir };
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    if ((code === 'ENOENT' || code === 'ENOTDIR') && dirname(dir) !== dir) return findFolder(dirname(dir));
    if (code === 'EROFS') return { message: `cannot be written: ${dir} is on a disk that may only be read` };
    if (code === 'EACCES') return { message: `may not be written by this user: ${dir}; check its permissions` };
    return { message: `cannot be used (${code}): ${dir}` };
  }
}
