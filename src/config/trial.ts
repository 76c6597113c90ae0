/**
 * What only shows when a configuration is used, found without using it: nothing is listened on, connected to or written.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { openTls } from '../upstream/tls.ts';
import { NOWHERE, type Place, type Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** Tries one part of a configuration; gives what is wrong with it, each with the key that it is about. */
export type Trial = (config: Config) => Promise<{ path: string; message: string }[]>;

/** Every part that can be tried; whoever reads files that a key names adds a trial of them here. */
const TRIALS: readonly Trial[] = [tryUpstreamTls, tryFolders];

/** Reads the files that the configuration names and looks at its folders; gives all that cannot be used. */
export async function findUnusable(config: Config, origins: ReadonlyMap<string, Place>): Promise<Problem[]> {
  const found = await Promise.all(TRIALS.map((trial) => trial(config)));
  return found.flat().map(({ path, message }) => ({ place: origins.get(path) ?? NOWHERE, path, message }));
}

async function tryUpstreamTls({ upstream }: Config) {
  const tls = await openTls(upstream);
  if (!('mistakes' in tls)) return [];
  return tls.mistakes.map(({ key, message }) => ({ path: `upstream.${key}`, message }));
}

async function tryFolders({ spool, cache }: Config) {
  const folders = [
    { path: 'spool.dir', dir: spool.dir },
    { path: 'cache.disk.dir', dir: cache.enabled ? cache.disk.dir : undefined },
  ];
  const found = await Promise.all(
    folders.map(async ({ path, dir }) => {
      const message = dir === undefined ? undefined : await findFolderProblem(resolve(dir));
      return message === undefined ? [] : [{ path, message }];
    }),
  );
  return found.flat();
}

/** A folder that is not there yet is made at the start: then the nearest one above it counts. */
async function findFolderProblem(dir: string): Promise<string | undefined> {
  try {
    if (!(await stat(dir)).isDirectory()) return `cannot be a folder: ${dir} is none`;
    await access(dir, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    if (code === 'ENOENT' && dirname(dir) !== dir) return findFolderProblem(dirname(dir));
    if (code === 'ENOTDIR') return findFolderProblem(dirname(dir));
    if (code === 'EROFS') return `cannot be written: ${dir} is on a disk that is only read`;
    return code === 'EACCES'
      ? `may not be written by this user: ${dir}; check its permissions`
      : `cannot be used (${code}): ${dir}`;
  }
}
