/**
 * The audit log's file: rotated by size and time, a bounded number of old ones kept, readable by its owner alone.
 *
 *   audit.log → audit.log.1 → audit.log.2 → … → gone
 *
 * The disk is not waited for. Lines stand in a queue of bounded size, and go out one batch at a time; when a batch fails,
 * the file is opened anew a moment later, and the queue grows until it is full: what comes then is lost, and counted. A disk
 * that does not answer, or is so slow that the queue fills, is trouble as one that fails.
 */
import { chmod, type FileHandle, mkdir } from 'node:fs/promises';
import { basename, dirname, sep } from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { Clock } from '../clock.ts';
import type { AuditConfig } from './config.ts';

/** Where lines go. Closing writes what waits, if that goes within a moment. */
export type AuditSink = AsyncDisposable & {
  /** Tells whether there was room for the line. One that is minor must leave some to the others. */
  write(line: string, isMinor?: boolean): boolean;
  /** How many lines wait; once it is closed, how many will never be written. */
  readonly waiting: number;
  /** Begins again with the file that has the name now: somebody may have moved the old one away. */
  reopen(): void;
  /** Why lines cannot be written at the moment. */
  readonly trouble: string | undefined;
};

/** How much may wait for the disk, in characters. */
const MAX_WAITING = 1024 ** 2;
/** From here on nothing minor may wait. */
const MAX_MINOR = MAX_WAITING / 4;
/** From here on the disk is too slow; what is left is for the files that are under way. */
const TOO_MUCH = (MAX_WAITING / 4) * 3;
const AGAIN_MS = 1000;
/** For how long the disk may not answer. */
const SLOW_MS = 5000;
/** How long closing waits for the disk. */
const CLOSE_MS = 2000;

type FileOptions = Pick<AuditConfig, 'rotateBytes' | 'rotateEvery' | 'keepFiles'> & { path: string };

/** Opens the file, or will again and again; a file that cannot be opened is trouble and no failure. */
export function openAuditFile(options: FileOptions, clock: Clock, onChange: () => void): AuditSink {
  const waiting: string[] = [];
  let waitingLength = 0;
  let isBusy = false;
  let isClosed = false;
  /** What the disk has of the batch, in bytes. */
  let onDisk = 0;
  let trouble: string | undefined;
  let stream: RotatingFileStream | undefined;
  let cancelRetry = () => {};
  let onEmpty = () => {};

  const settle = (reason: string | undefined) => {
    const changed = trouble !== reason;
    trouble = reason;
    if (changed) onChange();
  };
  const open = (): RotatingFileStream => {
    const opened = openStream(options, (bytes) => (onDisk += bytes));
    const cancelSlow = clock.after(SLOW_MS, () => stream === opened && settle(HANGS));
    opened.on('close', cancelSlow);
    // Whoever could not open it has nothing to write by which it would show that it can now.
    opened.on('open', () => {
      cancelSlow();
      if (waiting.length === 0) settle(undefined);
    });
    // Of a stream that broke, nothing more is heard; the batch that it had comes back by its own callback.
    opened.on('error', (error) => {
      cancelSlow();
      if (stream !== opened) return;
      stream = undefined;
      fail(error);
    });
    return opened;
  };
  const fail = (error: Error) => {
    const code = codeOf(error);
    // That the stream is gone says less than why it went.
    settle(code.startsWith('ERR_STREAM') ? (trouble ?? code) : code);
    cancelRetry();
    if (isClosed) onEmpty();
    else cancelRetry = clock.after(AGAIN_MS, flush);
  };
  const forget = (count: number) => {
    for (const line of waiting.splice(0, count)) waitingLength -= line.length;
  };
  const flush = () => {
    if (isBusy) return;
    if (waiting.length === 0) {
      if (trouble !== undefined) stream ??= open();
      return;
    }
    isBusy = true;
    onDisk = 0;
    // What a full disk broke off in the middle of a line must not take the next one along.
    const lead = trouble === undefined ? '' : '\n';
    const batch = lead + waiting.join('');
    const taken = waiting.length;
    stream ??= open();
    const into = stream;
    const cancelSlow = clock.after(SLOW_MS, () => settle(HANGS));
    into.write(batch, (error) => {
      cancelSlow();
      isBusy = false;
      if (error) {
        forget(wholeLines(waiting, onDisk - lead.length));
        if (stream === into) stream = undefined;
        return fail(error);
      }
      forget(taken);
      settle(waitingLength > TOO_MUCH ? FALLS_BEHIND : undefined);
      if (waiting.length === 0) onEmpty();
      else flush();
    });
  };

  stream = open();
  return {
    write(line, isMinor = false) {
      if (isClosed || waitingLength + line.length > (isMinor ? MAX_MINOR : MAX_WAITING)) return false;
      waiting.push(line);
      waitingLength += line.length;
      if (trouble === undefined) flush();
      if (waitingLength > TOO_MUCH) settle(trouble ?? FALLS_BEHIND);
      return true;
    },
    get waiting() {
      return waiting.length;
    },
    reopen() {
      stream?.end();
      stream = isClosed ? undefined : open();
    },
    get trouble() {
      return trouble;
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      cancelRetry();
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancel = clock.after(CLOSE_MS, resolve);
      onEmpty = () => {
        const last = stream;
        stream = undefined;
        if (last && !last.destroyed) last.once('close', resolve).end();
        else resolve();
      };
      if (waiting.length === 0) onEmpty();
      else flush();
      await promise;
      cancel();
    },
  };
}

const HANGS = `the disk has not answered for ${SLOW_MS / 1000} s`;
const FALLS_BEHIND = 'the disk is too slow';

/** How many of these lines lie within so many bytes. */
function wholeLines(lines: readonly string[], bytes: number): number {
  let end = 0;
  const beyond = lines.findIndex((line) => (end += Buffer.byteLength(line)) > bytes);
  return beyond === -1 ? lines.length : beyond;
}

function openStream(
  { path, rotateBytes, rotateEvery, keepFiles }: FileOptions,
  onWritten: (bytes: number) => void,
): RotatingFileStream {
  const name = basename(path);
  const opened = createStream((index) => (index === null ? name : `${name}.${String(index)}`), {
    path: `${dirname(path)}${sep}`.replace(/\/+$/, sep),
    size: `${rotateBytes}B`,
    rotate: keepFiles,
    mode: 0o600,
    ...(rotateEvery === 'never'
      ? {}
      : { interval: rotateEvery === 'day' ? '1d' : '1h', intervalUTC: true, initialRotation: true }),
  });
  Object.assign(opened, { makePath: (file: string) => makeFolder(dirname(file)) });
  opened.on('open', (file: string) => {
    // One that was there before may be open to others.
    void chmod(file, 0o600).catch(() => {});
    writeWhole(opened, onWritten);
  });
  return opened;
}

/** The library takes a write for done of which a full disk has taken a part: here, the rest fails or follows. */
function writeWhole(opened: RotatingFileStream, onWritten: (bytes: number) => void): void {
  const { file } = opened as unknown as { file?: FileHandle };
  if (!file) return;
  const write = file.write.bind(file);
  const whole = async (bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await write(bytes, at);
      onWritten(bytesWritten);
      at += bytesWritten;
    }
  };
  Object.assign(file, { write: whole });
}

/** Makes a folder and those that it lies in. Node's own way to do so never ends where there can be none, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const code = error instanceof Error ? codeOf(error) : '';
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path);
  }
}

const codeOf = (error: Error): string =>
  'code' in error && typeof error.code === 'string' ? error.code : error.message;
