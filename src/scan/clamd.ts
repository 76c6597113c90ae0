/**
 * One question to the ClamAV daemon (clamd(8), INSTREAM), on a connection of its own:
 *
 *   → zINSTREAM\0, then pieces: their length (uint32, big endian) and their bytes, and a length of 0 at the end
 *   ← stream: OK\0 | stream: <name> FOUND\0 | <what went wrong> ERROR\0
 *
 * clamd may answer before it has read everything, when the file is larger than its StreamMaxLength, and closes then: the
 * answer counts, and not that what was still to be sent could not be.
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

/** Longer than any answer. */
const MAX_ANSWER = 4096;

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
    if (answer.includes('\0')) settle(read(answer.slice(0, answer.indexOf('\0'))));
    else if (answer.length > MAX_ANSWER) fail('an answer without an end');
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
  const [, found, word] = /^stream: (?:(.{1,256}) )?(OK|FOUND)$/s.exec(answer.trim()) ?? [];
  if (word === 'OK' && found === undefined) return { kind: 'clean' };
  if (word === 'FOUND' && found !== undefined) return { kind: 'infected', name: tidy(found) };
  if (/size limit exceeded/i.test(answer)) {
    return { kind: 'failed', reason: "the file is larger than clamd's StreamMaxLength", isOfFile: true };
  }
  return { kind: 'failed', reason: `an answer that is none: ${tidy(answer)}` };
}

/** Names of signatures are made of few characters; what else comes is no name. */
const tidy = (text: string): string => text.replaceAll(/[^A-Za-z0-9._:/-]+/g, '_').slice(0, 80);
