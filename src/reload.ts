/**
 * Taking a changed configuration into use while running: all of it that can be, or none.
 *
 * Whatever is wrong with it, a mistake in a file or a certificate that cannot be used, the earlier one goes on. One is read
 * at a time; who asks meanwhile gets one more reading after it.
 */
import type { Clock } from './clock.ts';
import { type Config, ConfigError, type Loaded } from './config.ts';
import { takeOver } from './config/take-over.ts';
import type { Notice } from './notice.ts';
import { serverTlsFiles } from './server/tls.ts';

/** How a reload ended: which keys were taken, and which wait for a restart; or all that is wrong. */
export type ReloadResult =
  | { ok: true; changed: readonly string[]; waiting: readonly string[] }
  | { ok: false; mistakes: string };

/** What a reload needs: how to read the configuration, how to take it into use, and whom to tell. */
export type ReloadDeps = {
  load: () => Promise<Loaded>;
  /** Rejects with a ConfigError, having changed nothing, where it cannot be used. */
  apply: (config: Config) => Promise<void>;
  notice: Notice;
  onEnd: (result: ReloadResult) => void;
  /** Told which files to watch, those that were read and the certificates they name, and when reading began (ms since the epoch). */
  onFiles: (files: readonly string[], readAt: number) => void;
  clock: Pick<Clock, 'after'>;
};

/** How long reading may take in ms, before it is given up and the next may begin. */
const LATE_MS = 30_000;

/** Reads the configuration anew; the text says why. Never rejects. */
export type Reload = (because: string) => Promise<void>;

/** Makes the reload of a gateway that runs by this configuration. */
export function createReload(running: Loaded, { load, apply, notice, onEnd, onFiles, clock }: ReloadDeps): Reload {
  let { config, warnings } = running;
  onFiles(filesOf(running), running.readAt);
  let last = Promise.resolve();
  let waiting: Promise<void> | undefined;

  const reload = async (because: string, isLate: () => boolean) => {
    const loaded = await load();
    if (isLate()) return;
    const { changed, waiting: left, config: taken } = takeOver(config, loaded.config);
    // Also where it is not taken: a certificate that it names may yet come.
    onFiles(filesOf({ ...loaded, config: taken }), loaded.readAt);
    await apply(taken);
    config = taken;
    if (changed.length > 0) notice('info', 'the configuration was taken into use', { because, changed });
    else if (left.length === 0)
      notice('info', 'the configuration was read anew, no key in it has changed', { because });
    if (left.length > 0) notice('warn', 'some of what has changed waits for a restart', { keys: left });
    for (const warning of loaded.warnings) if (!warnings.includes(warning)) notice('warn', warning);
    ({ warnings } = loaded);
    onEnd({ ok: true, changed, waiting: left });
  };

  const attempt = async (because: string) => {
    let isOver = false;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const cancel = clock.after(LATE_MS, () => {
      isOver = true;
      reject(new Error(`reading it took more than ${LATE_MS / 1000} s: does a disk hang?`));
    });
    try {
      await Promise.race([reload(because, () => isOver), late]);
    } catch (error) {
      const mistakes = error instanceof ConfigError ? error.message : `It failed: ${String(error)}`;
      notice('error', 'the changed configuration was not taken, the earlier one goes on', { because, mistakes });
      onEnd({ ok: false, mistakes });
    } finally {
      cancel();
    }
  };

  return (because) => {
    waiting ??= last = last.then(() => {
      waiting = undefined;
      return attempt(because);
    });
    return waiting;
  };
}

/** Every file that the configuration was read from or names certificates in. */
const filesOf = ({ files, config: { listen, upstream } }: Loaded): string[] => [
  ...files,
  ...serverTlsFiles(listen.tls),
  ...[upstream.caFile, upstream.certFile, upstream.keyFile].filter((file) => file !== undefined),
];
