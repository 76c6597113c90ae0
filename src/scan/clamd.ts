/**
 * One question to the ClamAV daemon (clamd(8), INSTREAM), on a connection of its own:
 *
 *   → zINSTREAM\0, then pieces: their length (uint32, big endian) and their bytes, and a length of 0 at the end
 *   ← stream: OK\0 | stream: <name> FOUND\0 | <what went wrong> ERROR\0
 *
 * clamd may answer before it has read everything, when the file is larger than its StreamMaxLength, and closes then: the
 * answer counts, and not that what was still to be sent could not be. Only OK means nothing before it has seen everything.
 */
import { connect, type Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { ClamdAddress } from './config.ts';

/**
 * What clamd said of a file, or why it said nothing. `name`: what it found, clean and short. `isOfFile`: the next file may
 * fare better.
 */
export type Verdict =
  | { kind: 'clean' }
  | { kind: 'infected'; name: string }
  | { kind: 'failed'; reason: string; isOfFile?: true };

/** How long connecting may take, and all of it, in ms. */
export type ClamdTimes = { connectTimeoutMs: number; timeoutMs: number };

/** Longer than any answer, whatever the name of what was found. */
const MAX_ANSWER = 64 * 1024;

/** Shows clamd a file. Never rejects; when the signal aborts, it ends with a failure at once. */
export function askClamd(
  address: ClamdAddress,
  file: AsyncIterable<Uint8Array>,
  { connectTimeoutMs, timeoutMs }: ClamdTimes,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<Verdict> {
  const { promise, resolve } = Promise.withResolvers<Verdict>();
  const socket = connect(address);
  let answer = '';
  let isOver = false;
  let isSending = false;
  const settle = (verdict: Verdict) => {
    if (isOver) return;
    isOver = true;
    cancelConnect();
    cancelAll();
    signal.removeEventListener('abort', leave);
    socket.destroy();
    resolve(verdict);
  };
  const fail = (reason: string) => settle({ kind: 'failed', reason });
  const leave = () => fail('the client has gone');
  const cancelConnect = clock.after(connectTimeoutMs, () => fail(`no connection within ${connectTimeoutMs} ms`));
  const cancelAll = clock.after(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));

  const deliver = async () => {
    isSending = true;
    try {
      await send(socket, file);
    } catch (thrown) {
      fail(thrown instanceof Error ? thrown.message : 'the file cannot be read');
    }
    isSending = false;
  };

  socket.on('connect', () => {
    cancelConnect();
    void deliver();
  });
  socket.on('data', (bytes: Buffer) => {
    answer += bytes.toString('latin1');
    if (answer.includes('\0')) {
      const verdict = read(answer.slice(0, answer.indexOf('\0')));
      if (verdict.kind === 'clean' && isSending) fail('it said OK before it was shown the whole file');
      else settle(verdict);
    } else if (answer.length > MAX_ANSWER) fail('an answer without an end');
  });
  socket.on('error', (error) => {
    const code = 'code' in error && typeof error.code === 'string' ? error.code : error.message;
    // It answers and closes at once; whether the answer can still be read then is a matter of luck.
    if (isSending) fail(`${code} while the file was sent; is clamd's StreamMaxLength as large as limits.fileBytes?`);
    else fail(code);
  });
  socket.on('close', () => fail('closed without an answer'));
  if (signal.aborted) leave();
  else signal.addEventListener('abort', leave, { once: true });
  return promise;
}

async function send(socket: Socket, file: AsyncIterable<Uint8Array>): Promise<void> {
  socket.write('zINSTREAM\0');
  for await (const piece of file) {
    if (piece.length === 0) continue;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(piece.length);
    socket.write(length);
    if (!socket.write(piece)) await drained(socket);
    if (socket.destroyed) return;
  }
  socket.write(Buffer.alloc(4));
}

const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const go = () => {
      socket.off('drain', go).off('close', go);
      resolve();
    };
    socket.on('drain', go).on('close', go);
    if (socket.destroyed) go();
  });

/** What an answer means; one that cannot be read is no "clean". */
function read(answer: string): Verdict {
  const text = answer.trim();
  if (text === 'stream: OK') return { kind: 'clean' };
  if (/\bFOUND$/.test(text)) return { kind: 'infected', name: nameIn(text) };
  if (/size limit exceeded/i.test(text)) {
    return { kind: 'failed', reason: "the file is larger than clamd's StreamMaxLength", isOfFile: true };
  }
  return { kind: 'failed', reason: `an answer that is none: ${readable(text)}` };
}

/** Names of signatures are made of few characters; what else comes is no name. */
const NO_NAME = /[^A-Za-z0-9._:/-]+/g;

const nameIn = (text: string): string =>
  text
    .slice(0, -'FOUND'.length)
    .replace(/^stream:/, '')
    .trim()
    .replaceAll(NO_NAME, '_')
    .slice(0, 80) || 'unnamed';

/** In short words: the log takes a long one for a secret. */
const readable = (text: string): string =>
  text
    .slice(0, 80)
    .replaceAll(NO_NAME, ' ')
    .replaceAll(/\S{25,}/g, (word) => `${word.slice(0, 24)}…`);
