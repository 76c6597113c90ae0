/**
 * Entries in two tiers: what is asked for often in memory, everything on the disk, if there is one.
 *
 * A hit on the disk is taken into memory, too, unless the entry was erased or put anew while it was read: the reading is
 * void then. All who ask for one entry at the same time share one reading.
 */
import type { CacheConfig } from './config.ts';
import { createDisk, type DiskDeps, type DiskStats } from './disk.ts';
import { bytesOf, type CacheKey, covers, type Entry, type Selector, textOf, withOwnBytes } from './entry.ts';
import { createMemory, type MemoryStats } from './memory.ts';

/** Which tier an entry came from. */
export type Tier = 'memory' | 'disk';

/** An entry that was there, and where. */
export type Hit = { tier: Tier; entry: Entry };

/** How each tier does; there may be no disk. */
export type CacheStats = { memory: MemoryStats; disk: DiskStats | undefined };

/** Bytes by keys. Nothing in here ever rejects: what cannot be read is not there. */
export type Cache = AsyncDisposable & {
  /** What is in memory, at once. It counts as a hit or a miss there; go on with `fromDisk`. */
  fromMemory(key: CacheKey): Entry | undefined;
  /** The same, counted only if it is a hit, for somebody who will ask again if it is none. */
  peekMemory(key: CacheKey): Entry | undefined;
  /** What is on the disk; from now on it is in memory, too. */
  fromDisk(key: CacheKey): Promise<Entry | undefined>;
  /** Both, one after the other. */
  get(key: CacheKey): Promise<Hit | undefined>;
  /** Where an entry is, as far as can be told without asking for it: this counts nowhere, and moves nothing. */
  holds(key: CacheKey): Tier | undefined;
  /** The present: what is erased from now on is told from what was erased before. */
  mark(): number;
  /**
   * Keeps an entry in place of any older one; false if it is too large to be kept, and then there is none, or if its like
   * was erased since a mark: it was fetched before, and must not undo that.
   */
  put(key: CacheKey, entry: Entry, since?: number): boolean;
  /** Takes one entry out; true once that will also hold after a restart, false if that cannot be said for now. */
  delete(key: CacheKey): Promise<boolean>;
  /** Takes out all of a file, of an app, or everything that was put until now; true as for `delete`. */
  purge(selector: Selector): Promise<boolean>;
  stats(): CacheStats;
  /** Settles when the disk was opened, indexed and written to, as far as that can be done for now. */
  idle(): Promise<void>;
};

/** What a cache stands on, and whom it tells of its disk. */
export type CacheDeps = DiskDeps;

/** How many erasures are remembered for fetches under way: many more than there can be in the time of one. */
const MAX_ERASURES = 2000;

/** A read of the disk that is under way. */
type Reading = { key: CacheKey; result: Promise<Entry | undefined>; isVoid: boolean };

/** Opens the cache; it is there at once, and what is on the disk as soon as it is found. */
export function createCache(config: CacheConfig, deps: CacheDeps): Cache {
  const lifetimeMs = config.lifetimeSeconds * 1000;
  // How large an original may be is said apart; which of the two bounds holds is the caller's to know.
  const maxBytes = Math.max(config.maxEntryBytes, config.originalBytes);
  const memory = createMemory({ maxBytes: config.memoryBytes, lifetimeMs }, deps.clock);
  const { dir, ...bounds } = config.disk;
  const disk = dir === undefined ? undefined : createDisk({ dir, ...bounds, lifetimeMs }, deps);
  const readings = new Map<string, Reading>();

  const voidReadings = (selector: Selector) => {
    for (const [text, reading] of readings) {
      if (!covers(selector, reading.key)) continue;
      reading.isVoid = true;
      readings.delete(text);
    }
  };

  const read = async (reading: Reading): Promise<Entry | undefined> => {
    const entry = await disk?.get(reading.key);
    if (reading.isVoid) return memory.get(reading.key);
    readings.delete(textOf(reading.key));
    if (entry) memory.set(reading.key, entry);
    return entry;
  };

  const fromDisk = (key: CacheKey): Promise<Entry | undefined> => {
    const text = textOf(key);
    const running = readings.get(text);
    if (running) return running.result;
    const reading: Reading = { key, isVoid: false, result: Promise.resolve(undefined) };
    readings.set(text, reading);
    reading.result = read(reading);
    return reading.result;
  };

  /** The last erasures, by number; what lies further back than these is taken for erased. */
  const erasures: Selector[] = [];
  let erased = 0;
  const isErasedSince = (key: CacheKey, mark: number): boolean =>
    erased - mark > erasures.length ||
    erasures.slice(erasures.length - (erased - mark)).some((each) => covers(each, key));

  const erase = (selector: Selector): Promise<boolean> => {
    erased += 1;
    erasures.push(selector);
    if (erasures.length > MAX_ERASURES) erasures.shift();
    voidReadings(selector);
    memory.erase(selector);
    return disk?.erase(selector) ?? Promise.resolve(true);
  };

  return {
    fromMemory: (key) => memory.get(key),
    peekMemory: (key) => memory.peek(key),
    fromDisk,
    async get(key) {
      const entry = memory.get(key);
      if (entry) return { tier: 'memory', entry };
      const read = await fromDisk(key);
      return read && { tier: 'disk', entry: read };
    },
    holds: (key) => (memory.has(key) ? 'memory' : disk?.has(key) ? 'disk' : undefined),
    mark: () => erased,
    put(key, entry, since = erased) {
      if (since < erased && isErasedSince(key, since)) return false;
      if (bytesOf(entry) > maxBytes) {
        void erase(key);
        return false;
      }
      const own = withOwnBytes(entry);
      voidReadings(key);
      memory.set(key, own);
      disk?.put(key, own);
      return true;
    },
    delete: erase,
    purge: erase,
    stats: () => ({ memory: memory.stats(), disk: disk?.stats() }),
    idle: async () => disk?.idle(),
    async [Symbol.asyncDispose]() {
      await disk?.[Symbol.asyncDispose]();
    },
  };
}
