/**
 * The tier on the disk: a folder that is opened in the background, and again whenever it is lost.
 *
 * 1. Nothing in here rejects. While there is no folder to be had (taken by another process, read-only, gone), what is on
 *    the disk is a miss.
 * 2. A write goes into a bounded queue, from which it can be read; when the queue is full it is dropped.
 * 3. An erasure is written as well, lest a restart finds the entry again. It waits for the folder to be back.
 */
import * as nodeFiles from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';
import { codeOf, type Files } from './disk/files.ts';
import { FolderTaken, type TakeLock, takeLock } from './disk/lock.ts';
import { Log, type LogLimits } from './disk/log.ts';
import { Pending } from './disk/pending.ts';
import { printOf } from './disk/places.ts';
import { draft } from './disk/record.ts';
import type { Counts } from './disk/shelf.ts';
import { Trouble } from './disk/trouble.ts';
import { type CacheKey, type Entry, isExpired, type Selector, textOf } from './entry.ts';

/** Where, how much, how long; and what must stay free for others. */
export type DiskOptions = LogLimits & { dir: string };

/** What the disk tier stands on; `files` and `takeLock` are the system's unless told otherwise. */
export type DiskDeps = { clock: Clock; notice: Notice; files?: Files; takeLock?: TakeLock };

/** What is on the disk, how often it was asked for, and whether it is to be had at all. */
export type DiskStats = Counts & {
  state: 'opening' | 'indexing' | 'open' | 'away';
  entries: number;
  bytes: number;
};

/** Entries that outlive the process. */
export type Disk = AsyncDisposable & {
  get(key: CacheKey): Promise<Entry | undefined>;
  /** Has an entry written later; false if it is dropped, and then nothing older of it is left. */
  put(key: CacheKey, entry: Entry): boolean;
  /** Whether it is there, as far as the index tells; it counts for nothing. */
  has(key: CacheKey): boolean;
  /** Erases what was put until now; true once it also holds after a restart, false if that cannot be said for now. */
  erase(selector: Selector): Promise<boolean>;
  stats(): DiskStats;
  /** Settles when the folder was opened, or could not be, and all is indexed and written that can be for now. */
  idle(): Promise<void>;
};

/** The layout of the folder. Another one gets a folder of its own, so that two versions never read each other's. */
const LAYOUT = 'v1';

/** Descriptors are finite, so there are never more segments than this; nor so few that to evict one is to lose much. */
const SEGMENTS = { most: 256, least: 8 };

/** The index has 32 bits for an offset. */
const MAX_SEGMENT_BYTES = 2 ** 31;

const PENDING = { maxBytes: 8 * 1024 ** 2, maxErasures: 10_000 };
const RETRY_MS = { first: 1000, most: 30_000 };
const CLOSE_WITHIN_MS = 2000;

const TAKEN = "another process uses the cache's folder, and each needs its own: this one goes on without a disk";
const UNUSABLE = "the cache's folder cannot be used: it goes on without a disk";
const GONE = "the cache's folder has been removed: it is made again";

/** Opens the tier on the disk; it is there at once, and finds its entries again in the background. */
export const createDisk = (options: DiskOptions, deps: DiskDeps): Disk => new FolderDisk(options, deps);

class FolderDisk implements Disk {
  readonly #folder: string;
  readonly #limits: LogLimits;
  readonly #clock: Clock;
  readonly #files: Files;
  readonly #takeLock: TakeLock;
  readonly #trouble: Trouble;
  readonly #pending = new Pending(PENDING);
  readonly #counts: Counts = { hits: 0, misses: 0, evictions: 0, droppedWrites: 0, corrupt: 0, faults: 0 };

  #log: Log | undefined;
  #opening: Promise<void>;
  #hasTried = false;
  #isClosed = false;
  #retryMs = RETRY_MS.first;
  #cancelRetry = () => {};

  constructor({ dir, ...limits }: DiskOptions, { clock, notice, files = nodeFiles, takeLock: lock }: DiskDeps) {
    const most = Math.floor(limits.maxBytes / SEGMENTS.least);
    const least = Math.ceil(limits.maxBytes / SEGMENTS.most);
    this.#folder = join(dir, LAYOUT);
    const segmentBytes = Math.min(Math.max(least, Math.min(limits.segmentBytes, most)), MAX_SEGMENT_BYTES);
    this.#limits = { ...limits, segmentBytes };
    this.#clock = clock;
    this.#files = files;
    this.#takeLock = lock ?? takeLock;
    this.#trouble = new Trouble(notice, clock, dir);
    this.#opening = this.#open();
  }

  async get(key: CacheKey): Promise<Entry | undefined> {
    const entry = await this.#find(key);
    if (entry) this.#counts.hits += 1;
    else this.#counts.misses += 1;
    return entry;
  }

  has(key: CacheKey): boolean {
    const op = this.#pending.find(textOf(key));
    return op ? op.kind === 'put' : (this.#log?.knows(printOf(key)) ?? false);
  }

  put(key: CacheKey, entry: Entry): boolean {
    const print = printOf(key);
    const isKnown = this.#pending.has(key) || this.#mayKnow((log) => log.knows(print));
    const record = draft({ kind: isKnown ? 'replace' : 'put', key, entry });
    if (!record || record.bytes > this.#limits.segmentBytes || !this.#pending.hasRoom(record.bytes)) {
      this.#counts.droppedWrites += 1;
      if (isKnown) void this.erase(key);
      return false;
    }
    this.#pending.put(key, print, entry, record);
    this.#log?.supersede(print, record.bytes);
    return true;
  }

  erase(selector: Selector): Promise<boolean> {
    if (this.#pending.isCrowded && selector.app !== undefined) return this.erase({});
    // A wider erasure that is not written yet has emptied the index, but not the disk.
    const isPending = this.#pending.isErasing || this.#pending.has(selector);
    const mayBeThere = this.#mayKnow((log) => log.erase(selector));
    if (!isPending && !mayBeThere && selector.file !== undefined) return Promise.resolve(true);
    const isKept = this.#pending.erase(selector);
    this.#log?.wake();
    return this.#log ? isKept : Promise.resolve(false);
  }

  stats(): DiskStats {
    const log = this.#log;
    const closed = this.#hasTried ? 'away' : 'opening';
    const open = log?.isIndexed ? 'open' : 'indexing';
    return { ...this.#counts, state: log ? open : closed, entries: log?.entries ?? 0, bytes: log?.bytes ?? 0 };
  }

  async idle(): Promise<void> {
    let opening: Promise<void> | undefined;
    // It may turn out that the folder is lost.
    while (opening !== this.#opening) {
      opening = this.#opening;
      await opening;
      await this.#log?.indexed;
      await this.#log?.idle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry();
    await this.#within(CLOSE_WITHIN_MS, this.#finish());
  }

  async #finish(): Promise<void> {
    await this.#opening;
    const log = this.#log;
    await this.#within(CLOSE_WITHIN_MS, log?.idle());
    this.#log = undefined;
    await log?.close();
    this.#pending.tellAll(false);
  }

  async #find(key: CacheKey): Promise<Entry | undefined> {
    const op = this.#pending.find(textOf(key));
    if (!op) return this.#log?.get(key);
    return op.kind === 'put' && !isExpired(op.entry, this.#limits.lifetimeMs, this.#clock.now()) ? op.entry : undefined;
  }

  /** What the log says; without one there may be anything. */
  #mayKnow(ask: (log: Log) => boolean): boolean {
    return this.#log ? ask(this.#log) : true;
  }

  async #open(): Promise<void> {
    try {
      await this.#makeFolder();
      const log = await Log.open(this.#folder, this.#limits, {
        pending: this.#pending,
        files: this.#files,
        takeLock: this.#takeLock,
        clock: this.#clock,
        counts: this.#counts,
        trouble: this.#trouble,
        erase: (key) => void this.erase(key),
        onLost: () => this.#onLost(log),
      });
      this.#log = log;
      this.#retryMs = RETRY_MS.first;
      this.#trouble.end();
    } catch (error) {
      const isTaken = error instanceof FolderTaken;
      this.#trouble.begin(isTaken ? TAKEN : UNUSABLE, isTaken ? undefined : codeOf(error));
      this.#openLater();
    }
    this.#hasTried = true;
  }

  async #makeFolder(): Promise<void> {
    await this.#files.mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const stat = await this.#files.lstat(this.#folder);
    if (!stat.isDirectory()) throw new Error(`${LAYOUT} is not a folder`);
    // Made by somebody else, maybe with the permissions of a volume.
    if ((stat.mode & 0o077) !== 0) await this.#files.chmod(this.#folder, 0o700);
  }

  #openLater(): void {
    if (this.#isClosed) return;
    this.#cancelRetry = this.#clock.after(this.#retryMs, () => {
      this.#opening = this.#open();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS.most);
  }

  #onLost(log: Log): void {
    if (this.#log !== log) return;
    this.#log = undefined;
    this.#counts.faults += 1;
    this.#trouble.begin(GONE);
    this.#opening = log.close().then(() => this.#openLater());
  }

  /** Waits for something, but not for ever: a disk that hangs must not keep the process from ending. */
  async #within(ms: number, work: Promise<unknown> | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(ms, resolve);
    await Promise.race([work, promise]);
    cancel();
  }
}
