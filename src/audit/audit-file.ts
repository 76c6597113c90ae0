/**
 * The audit log's file: rotated by size and time, a bounded number of old ones kept, readable by its owner alone.
 *
 *   audit.log → audit.log.1 → audit.log.2 → … → gone
 *
 * The disk is not waited for. Lines stand in a queue of bounded size, and go out one batch at a time; when a batch fails,
 * the file is opened anew a moment later, and the queue grows until it is full: what comes then is lost, and counted.
 */
import { chmod, type FileHandle } from 'node:fs/promises';
import { basename, dirname, sep } from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { Clock } from '../clock.ts';
import type { AuditConfig } from './config.ts';

/** Where lines go; `write` tells whether there was room for the line. */
export type AuditSink = AsyncDisposable & {
  write(line: string): boolean;
  /** Begins again with the file that has the name now: somebody may have moved the old one away. */
  reopen(): void;
  /** Why lines cannot be written at the moment. */
  readonly trouble: string | undefined;
};

/** How much may wait for the disk, in characters. */
const MAX_WAITING = 1024 ** 2;
const AGAIN_MS = 1000;
/** How long closing waits for the disk. */
const CLOSE_MS = 2000;

type FileOptions = Pick<AuditConfig, 'rotateBytes' | 'rotateEvery' | 'keepFiles'> & { path: string };

/** Opens the file, or will again and again; a file that cannot be opened is trouble and no failure. */
export function openAuditFile(options: FileOptions, clock: Clock, onChange: () => void): AuditSink {
  let waiting: string[] = [];
  let waitingLength = 0;
  let isBusy = false;
  let isClosed = false;
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
    const opened = openStream(options);
    // Whoever could not open it has nothing to write by which it would show that it can now.
    opened.on('open', () => waiting.length === 0 && settle(undefined));
    // Of a stream that broke, nothing more is heard; the batch that it had comes back by its own callback.
    opened.on('error', (error) => {
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
  const flush = () => {
    if (isBusy) return;
    if (waiting.length === 0) {
      if (trouble !== undefined) stream ??= open();
      return;
    }
    isBusy = true;
    const batch = waiting.join('');
    const taken = waiting.length;
    stream ??= open();
    const into = stream;
    // What a full disk broke off in the middle of a line must not take the next one along.
    into.write(trouble === undefined ? batch : `\n${batch}`, (error) => {
      isBusy = false;
      if (error) {
        if (stream === into) stream = undefined;
        return fail(error);
      }
      waiting = waiting.slice(taken);
      waitingLength -= batch.length;
      settle(undefined);
      if (waiting.length === 0) onEmpty();
      else flush();
    });
  };

  stream = open();
  return {
    write(line) {
      if (isClosed || waitingLength + line.length > MAX_WAITING) return false;
      waiting.push(line);
      waitingLength += line.length;
      if (trouble === undefined) flush();
      return true;
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

function openStream({ path, rotateBytes, rotateEvery, keepFiles }: FileOptions): RotatingFileStream {
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
  opened.on('open', (file: string) => {
    // One that was there before may be open to others.
    void chmod(file, 0o600).catch(() => {});
    writeWhole(opened);
  });
  return opened;
}

/** The library takes a write for done of which a full disk has taken a part: here, the rest fails or follows. */
function writeWhole(opened: RotatingFileStream): void {
  const { file } = opened as unknown as { file?: FileHandle };
  if (!file) return;
  const write = file.write.bind(file);
  const whole = async (bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length;) at += (await write(bytes, at)).bytesWritten;
  };
  Object.assign(file, { write: whole });
}

const codeOf = (error: Error): string =>
  'code' in error && typeof error.code === 'string' ? error.code : error.message;
