/**
 * Tells when files have changed, however they are changed: written in place, replaced by a rename, or by a link above them
 * that leads elsewhere, as Kubernetes swaps what it mounts. They are looked at now and then, since no event of the system
 * tells of all of these on all disks.
 */
import { type Stats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Clock } from './clock.ts';

/** Some files that are watched; disposing ends it. */
export type FileWatch = Disposable & {
  /** Watches these from now on, and no others; `readAt` (ms since the epoch) is when reading them began. */
  watch(files: readonly string[], readAt: number): void;
};

/** How much the times of files may lie behind the clock, in ms. */
const COARSE_MS = 20;

/** Watches no files yet. `onChange` is called when some have changed and none has since the last look: none is half written. */
export function createFileWatch(onChange: () => void, { everyMs }: { everyMs: number }, clock: Clock): FileWatch {
  const seen = new Map<string, string>();
  let isDue = false;
  let isClosed = false;
  let cancelTimer = () => {};

  const look = async () => {
    const found = await Promise.all(
      [...seen.keys()].map(async (file) => [file, nameOf(await stat(file).catch(() => undefined))] as const),
    );
    if (isClosed) return;
    const changed = found.filter(([file, name]) => seen.has(file) && seen.get(file) !== name);
    for (const [file, name] of changed) seen.set(file, name);
    if (isDue && changed.length === 0) onChange();
    isDue = changed.length > 0;
    later();
  };
  const later = () => {
    cancelTimer();
    cancelTimer = seen.size > 0 ? clock.after(everyMs, () => void look()) : () => {};
  };
  return {
    watch(files, readAt) {
      for (const file of seen.keys()) if (!files.includes(file)) seen.delete(file);
      for (const file of files) if (!seen.has(file)) seen.set(file, asRead(file, readAt));
      later();
    },
    [Symbol.dispose]() {
      isClosed = true;
      cancelTimer();
    },
  };
}

/** One state of a file by name; a file that is written anew gets another. */
const nameOf = (found: Stats | undefined): string =>
  found ? [found.dev, found.ino, found.size, found.mtimeMs, found.ctimeMs].join() : 'missing';

/** The state that was read, if the file is still in it as far as that can be known. */
function asRead(file: string, readAt: number): string {
  const found = statSync(file, { throwIfNoEntry: false });
  const isOlder = found && Math.max(found.mtimeMs, found.ctimeMs) < readAt - COARSE_MS;
  return isOlder || !found ? nameOf(found) : 'perhaps changed since';
}
