import { Readable } from 'node:stream';
import { GatewayError } from '../errors.ts';
import { BLOCK_BYTES, type SpoolStore } from './spool-store.ts';

/** A whole body that can be sent any number of times until it is released. */
export type SpooledBody = {
  readonly bytes: number;
  /** A stream of all the bytes from the beginning; its errors cannot end the process, also if nobody listens. */
  open(): Readable;
  /** Ends the streams that are still open and frees everything; any number of times. */
  release(): Promise<void>;
};

/** Makes a body of a finished store; `onRelease` is called when nothing is left of it. */
export function createSpooledBody(store: SpoolStore, onRelease: () => void): SpooledBody {
  const { bytes } = store;
  const streams = new Set<Readable>();
  let released: Promise<void> | undefined;
  const release = async () => {
    for (const stream of streams) stream.destroy(gone());
    await store.release();
    onRelease();
  };
  return {
    bytes,
    open() {
      const stream = openStream(store, bytes);
      streams.add(stream);
      stream.once('close', () => streams.delete(stream));
      if (released !== undefined) stream.destroy(gone());
      return stream;
    },
    release() {
      released ??= release();
      return released;
    },
  };
}

const gone = (): GatewayError => new GatewayError('GATEWAY_FAULT', { reason: 'the spooled body is released' });

function openStream(store: SpoolStore, bytes: number): Readable {
  let position = 0;
  const push = (block: Buffer): void => {
    if (stream.destroyed) return;
    position += block.length;
    stream.push(block);
  };
  const stream = new Readable({
    highWaterMark: BLOCK_BYTES,
    read() {
      if (position === bytes) {
        stream.push(null);
        return;
      }
      const block = store.read(position);
      if (Buffer.isBuffer(block)) push(block);
      else block.then(push, (fault: Error) => stream.destroy(fault));
    },
  });
  // The engine that sends it attaches no such listener, and an error that nobody listens for ends the process.
  stream.on('error', () => {});
  return stream;
}
