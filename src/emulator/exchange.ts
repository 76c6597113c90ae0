import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { FileHandle } from 'node:fs/promises';
import type { Received } from './record.ts';
import type { Target } from './target.ts';

/** A stretch of an open file; whoever has the answer closes the handle. */
export type FileSlice = { handle: FileHandle; start: number; length: number };

/** What a handler comes to: nothing of it has been written yet. */
export type Answer = { status: number; headers: OutgoingHttpHeaders; body: Buffer | FileSlice };

/** One request and what is known of it so far. */
export type Exchange = {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly target: Target;
  readonly received: Received;
  /** Aborted when the connection or the answer is over. */
  readonly gone: AbortSignal;
  /** The client waits for `100 Continue` before it sends its body. */
  awaitsContinue: boolean;
};

/** Answers one interface's requests. */
export type Handler = (exchange: Exchange) => Answer | Promise<Answer>;

/** The request body as it arrives; every byte is counted. Leaving early keeps the connection, so that an answer can be sent. */
export async function* readBody(exchange: Exchange): AsyncGenerator<Buffer> {
  if (exchange.awaitsContinue) {
    exchange.awaitsContinue = false;
    exchange.res.writeContinue();
  }
  const chunks = exchange.req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  for await (const chunk of chunks) {
    exchange.received.bytesIn += chunk.length;
    yield chunk;
  }
}

/** The whole request body, or undefined when it is larger than allowed. */
export async function readWhole(exchange: Exchange, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of readBody(exchange)) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** How long the request has been in the emulator, in whole milliseconds. */
export const durationOf = ({ received }: Exchange, nowMs: number): number =>
  Math.max(0, Math.round(nowMs - received.at));
