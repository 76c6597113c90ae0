import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { bytesOf, type CacheKey, covers, type Entry, isExpired, type Selector, textOf, withOwnBytes } from './entry.ts';

/** The tier in memory: bounded by bytes, and what was not asked for longest goes first. */
export type Memory = {
  get(key: CacheKey): Entry | undefined;
  /** The same, but counted only if it is there: whoever asks so asks again. */
  peek(key: CacheKey): Entry | undefined;
  /** Whether it is there; for statistics and order, nobody has asked for it. */
  has(key: CacheKey): boolean;
  set(key: CacheKey, entry: Entry): void;
  erase(selector: Selector): void;
  stats(): MemoryStats;
};

/** What is in memory, and how often it was asked for. */
export type MemoryStats = { entries: number; bytes: number; hits: number; misses: number; evictions: number };

/** How much memory, and how long an entry lives after it was stored. */
export type MemoryOptions = { maxBytes: number; lifetimeMs: number };

/** What an entry takes beside its bytes: its key twice, its objects and its place in the order. */
const OVERHEAD_BYTES = 600;

type Kept = { key: CacheKey; entry: Entry };

/** Opens an empty tier in memory. */
export function createMemory({ maxBytes, lifetimeMs }: MemoryOptions, clock: Clock): Memory {
  let [hits, misses, evictions] = [0, 0, 0];
  const kept = new LRUCache<string, Kept>({
    maxSize: Math.max(1, maxBytes),
    sizeCalculation: ({ entry }) => bytesOf(entry) + OVERHEAD_BYTES,
    dispose: (_kept, _text, reason) => {
      if (reason === 'evict') evictions += 1;
    },
  });

  const peek = (key: CacheKey): Entry | undefined => {
    const text = textOf(key);
    const found = kept.get(text);
    if (found && !isExpired(found.entry, lifetimeMs, clock.now())) {
      hits += 1;
      return found.entry;
    }
    if (found) kept.delete(text);
    return undefined;
  };

  return {
    peek,
    get(key) {
      const entry = peek(key);
      if (!entry) misses += 1;
      return entry;
    },
    has(key) {
      const found = kept.peek(textOf(key));
      return found !== undefined && !isExpired(found.entry, lifetimeMs, clock.now());
    },
    set: (key, entry) => void kept.set(textOf(key), { key, entry: withOwnBytes(entry) }),
    erase(selector) {
      if (selector.variant !== undefined) return void kept.delete(textOf(selector));
      for (const [text, { key }] of kept.entries()) if (covers(selector, key)) kept.delete(text);
    },
    stats: () => ({ entries: kept.size, bytes: kept.calculatedSize, hits, misses, evictions }),
  };
}
