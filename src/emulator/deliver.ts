import type { OutgoingHttpHeaders } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Exchange } from './exchange.ts';

/** How an answer is spoiled on its way. */
export type Bend =
  | { kind: 'reset' | 'hang' | 'truncate'; afterBytes?: number | undefined }
  | { kind: 'wrong-length'; by: number };

/** How much of a file is read at a time. */
const CHUNK_BYTES = 256 * 1024;
/** An unread body up to this size is left to Node, which skips it and keeps the connection. */
const SKIPPED_BYTES = 64 * 1024;
/** How much of a refused upload is read, and for how long, so that its sender comes to read the answer. */
const DRAINED_BYTES = 32 * 1024 * 1024;
const DRAINED_MS = 3_000;
/** Lets what was written before a reset reach the client, whose kernel may throw it away otherwise. */
const RESET_DELAY_MS = 15;

/** Writes an answer, spoiled or not, and closes what it holds open. */
export async function deliver(exchange: Exchange, answer: Answer, bend?: Bend): Promise<void> {
  try {
    await write(exchange, answer, bend);
  } finally {
    await discardAnswer(answer);
  }
}

/** Lets go of an answer that will not be sent. */
export async function discardAnswer({ body }: Answer): Promise<void> {
  if (!Buffer.isBuffer(body)) await body.handle.close();
}

async function write(exchange: Exchange, answer: Answer, bend: Bend | undefined): Promise<void> {
  const { req, res, received } = exchange;
  if (res.destroyed || res.headersSent) return;
  const body = hasNoBody(req.method, answer.status) ? Buffer.alloc(0) : answer.body;
  const rest = unreadBody(exchange);
  res.writeHead(answer.status, headersOf(answer, bend, rest === 'much'));
  received.status = answer.status;

  if (bend !== undefined && bend.kind !== 'wrong-length') return breakOff(exchange, body, bend);
  if (rest !== 'much' && Buffer.isBuffer(body)) {
    received.bytesOut += body.length;
    res.end(body);
    return;
  }
  res.flushHeaders();
  for await (const chunk of chunksOf(body)) {
    if (!(await send(exchange, chunk))) return;
  }
  if (rest === 'much') await drain(exchange);
  res.end();
}

const hasNoBody = (method: string | undefined, status: number): boolean =>
  method === 'HEAD' || status === 204 || status === 304;

function headersOf({ status, headers, body }: Answer, bend: Bend | undefined, closes: boolean): OutgoingHttpHeaders {
  const result = { ...headers };
  if (status !== 204 && status !== 304 && result['transfer-encoding'] === undefined) {
    const by = bend?.kind === 'wrong-length' ? bend.by : 0;
    result['content-length'] ??= Math.max(0, body.length + by);
  }
  if (closes) result['connection'] = 'close';
  return result;
}

/** How much of the request's body has not been read, as far as its head tells. */
function unreadBody({ req, awaitsContinue }: Exchange): 'none' | 'little' | 'much' {
  if (req.complete) return 'none';
  if (req.headers['transfer-encoding'] !== undefined) return 'much';
  const announced = Number(req.headers['content-length'] ?? 0);
  if (announced === 0) return 'none';
  // Nobody can tell whether a client that waits for leave to send will still send, so its connection is not used again.
  return announced <= SKIPPED_BYTES && !awaitsContinue ? 'little' : 'much';
}

async function* chunksOf(body: Answer['body']): AsyncGenerator<Buffer> {
  if (Buffer.isBuffer(body)) {
    yield body;
    return;
  }
  const { handle, start, length } = body;
  if (length === 0) return;
  const options = { start, end: start + length - 1, autoClose: false, highWaterMark: CHUNK_BYTES };
  yield* handle.createReadStream(options) as AsyncIterable<Buffer>;
}

/** True when the chunk was taken, false when the client has gone. */
async function send({ res, received, gone }: Exchange, chunk: Buffer): Promise<boolean> {
  if (gone.aborted || res.destroyed) return false;
  received.bytesOut += chunk.length;
  if (res.write(chunk)) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onDrain = (): void => resolve(true);
  const onClose = (): void => resolve(false);
  res.once('drain', onDrain);
  res.once('close', onClose);
  const taken = await promise;
  res.off('drain', onDrain);
  res.off('close', onClose);
  return taken;
}

/** Reads on behind an answer, within bounds: a client that only listens after sending would else be cut off from it. */
async function drain({ req, awaitsContinue, received, gone }: Exchange): Promise<void> {
  if (awaitsContinue || gone.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, DRAINED_MS);
  let bytes = 0;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    received.bytesIn += chunk.length;
    if (bytes > DRAINED_BYTES) resolve();
  });
  for (const event of ['end', 'error', 'close']) req.once(event, resolve);
  gone.addEventListener('abort', () => resolve(), { once: true });
  req.resume();
  await promise;
  clearTimeout(timer);
}

async function breakOff(exchange: Exchange, body: Answer['body'], bend: Exclude<Bend, { by: number }>): Promise<void> {
  const { res, req } = exchange;
  const length = body.length;
  let left = Math.min(bend.afterBytes ?? Math.floor(length / 2), length);
  res.flushHeaders();
  for await (const chunk of chunksOf(body)) {
    const part = chunk.subarray(0, left);
    left -= part.length;
    if (part.length > 0 && !(await send(exchange, part))) return;
    if (left === 0) break;
  }
  if (bend.kind === 'hang') return untilGone(exchange);
  await new Promise<void>((resolve) => setTimeout(resolve, RESET_DELAY_MS));
  if (bend.kind === 'reset') req.socket.resetAndDestroy();
  else req.socket.destroySoon();
}

/** Resolves when the client has left, or the emulator closes. */
export function untilGone({ gone }: Exchange): Promise<void> {
  if (gone.aborted) return Promise.resolve();
  return new Promise((resolve) => gone.addEventListener('abort', () => resolve(), { once: true }));
}

/** Waits, unless the client leaves. */
export const pause = (ms: number, { gone }: Exchange): Promise<void> =>
  ms <= 0 ? Promise.resolve() : sleep(ms, undefined, { signal: gone }).catch(() => {});
