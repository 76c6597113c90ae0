import type { Readable } from 'node:stream';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { type Decision, enforce } from '../policy/decision.ts';
import type { SpoolConfig } from './config.ts';
import { Budget } from './spool-budget.ts';
import { SPOOL_RETRY_AFTER_MS } from './spool-file.ts';
import { SpoolFolder } from './spool-folder.ts';
import { intake } from './spool-intake.ts';
import { SpoolStore } from './spool-store.ts';
import { createSpooledBody, type SpooledBody } from './spooled-body.ts';

/** How a body is taken in: its bounds in bytes and time, and who watches it go by. */
export type TakeOptions = {
  /** As the client announced it: refused at once if so many do not fit now, but room is taken only as they come. */
  announcedBytes?: number;
  maxBytes: number;
  watch?: { push(chunk: Uint8Array): Decision; end(): Decision };
  /** For how long no byte may come. */
  idleMs: number;
  totalMs: number;
  clock: Clock;
  /** Aborted when the client has gone. */
  signal?: AbortSignal;
};

/** Where bodies wait so that they can be sent twice: memory first, then a file, within budgets. */
export type Spool = AsyncDisposable & {
  /** Takes a whole body in, or throws; the source is then left paused, with nothing of ours on it, for an answer. */
  take(source: Readable, options: TakeOptions): Promise<SpooledBody>;
  readonly usage: { memoryBytes: number; diskBytes: number; bodies: number };
};

/** Opens a spool with a private folder of its own; both end with it, and so do the bodies that are left. */
export async function createSpool(config: Omit<SpoolConfig, 'siblingMemoryBytes'>): Promise<Spool> {
  const memory = new Budget(config.memoryBytes);
  const disk = new Budget(config.diskBytes);
  const folder = await SpoolFolder.create(config.dir);
  const stores = new Set<SpoolStore>();
  let disposed = false;

  const openStore = (): SpoolStore => {
    if (disposed) throw new GatewayError('DRAINING', { reason: 'the spool is closed' });
    const { memoryPerUploadBytes } = config;
    return new SpoolStore({ memory, disk, memoryPerUploadBytes, openFile: () => folder.openFile() });
  };

  return {
    take: async (source, options) => takeInto(openStore(), stores, source, options),
    get usage() {
      return { memoryBytes: memory.used, diskBytes: disk.used, bodies: stores.size };
    },
    async [Symbol.asyncDispose]() {
      disposed = true;
      await Promise.all([...stores].map((store) => store.release()));
      await folder.remove();
    },
  };
}

/**
 * Opens a place for small bodies that must never touch a disk: logins, and what else is no file. What finds no room is
 * refused.
 */
export function createMemorySpool({ memoryBytes }: { memoryBytes: number }): Spool {
  const memory = new Budget(memoryBytes);
  const disk = new Budget(0);
  const openFile = () => Promise.reject(noRoom());
  const stores = new Set<SpoolStore>();
  return {
    async take(source, options) {
      const { announcedBytes, maxBytes } = options;
      // A block is taken whole, and hundreds of small bodies may come at once.
      const memoryPerUploadBytes = Math.min(announcedBytes ?? maxBytes, maxBytes);
      return takeInto(new SpoolStore({ memory, disk, memoryPerUploadBytes, openFile }), stores, source, options);
    },
    get usage() {
      return { memoryBytes: memory.used, diskBytes: 0, bodies: stores.size };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...stores].map((store) => store.release()));
    },
  };
}

const noRoom = (): GatewayError =>
  new GatewayError('SPOOL_FULL', { retryAfterMs: SPOOL_RETRY_AFTER_MS, reason: 'no memory left for small bodies' });

async function takeInto(
  store: SpoolStore,
  stores: Set<SpoolStore>,
  source: Readable,
  options: TakeOptions,
): Promise<SpooledBody> {
  stores.add(store);
  try {
    await fill(store, source, options);
    return createSpooledBody(store, () => stores.delete(store));
  } catch (thrown) {
    await store.release();
    stores.delete(store);
    throw GatewayError.from(thrown);
  }
}

async function fill(store: SpoolStore, source: Readable, options: TakeOptions): Promise<void> {
  const { announcedBytes, maxBytes, watch } = options;
  const checkSize = (bytes: number): void => {
    if (bytes <= maxBytes) return;
    throw new GatewayError('BODY_TOO_LARGE', { reason: `the body has more than ${maxBytes} bytes` });
  };
  checkSize(announcedBytes ?? 0);
  store.checkRoom(announcedBytes ?? 0);
  const taker = {
    take(chunk: Buffer) {
      checkSize(store.bytes + chunk.length);
      if (watch !== undefined) enforce(watch.push(chunk));
      return store.append(chunk);
    },
  };
  await intake(source, taker, options);
  if (watch !== undefined) enforce(watch.end());
  await store.finish();
}
