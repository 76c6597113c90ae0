/**
 * An open folder: a log of segments that is only ever written at its end, and an index of it in memory.
 *
 * 1. A hit is one read, at a known place of a file that is open already.
 * 2. What is pending is written to the end; the writer puts it into the index when it is there.
 * 3. The oldest segments go when there is no more room. What is hit shortly before is written once more, at the end: its
 *    second chance. That costs at most as many bytes as new entries do, so a cache that is only read writes nothing.
 */
import { join } from 'node:path';
import type { Clock } from '../../clock.ts';
import { type CacheKey, type Entry, isExpired, type Selector } from '../entry.ts';
import { codeOf, type Files } from './files.ts';
import { Graves } from './graves.ts';
import type { Lock, TakeLock } from './lock.ts';
import type { Pending } from './pending.ts';
import { type Place, Places, type Print, printOf } from './places.ts';
import { rebuild } from './rebuild.ts';
import { decodeEntry, draft } from './record.ts';
import { Room } from './room.ts';
import { Segments } from './segments.ts';
import type { Counts, Shelf } from './shelf.ts';
import type { Trouble } from './trouble.ts';
import { Writer } from './writer.ts';

/** The bounds of a log. */
export type LogLimits = { maxBytes: number; segmentBytes: number; minFreeBytes: number; lifetimeMs: number };

/** What a log needs, and whom it tells. `pending` is its owner's: what could not be written outlives the log. */
export type LogDeps = {
  pending: Pending;
  files: Files;
  takeLock: TakeLock;
  clock: Clock;
  counts: Counts;
  trouble: Trouble;
  /** Erases an entry in the pending queue, too. */
  erase: (key: CacheKey) => void;
  onLost: () => void;
};

/** An entry counts as so many bytes at least, or an index of tiny ones would outgrow memory. */
const LEAST_ENTRY_BYTES = 1024;

/** An open folder of entries. */
export class Log {
  readonly #limits: LogLimits;
  readonly #deps: LogDeps;
  readonly #lock: Lock;
  readonly #shelf: Shelf;
  readonly #room: Room;
  readonly #writer: Writer;
  /** Only until the index is whole. */
  #graves: Graves | undefined = new Graves();
  /** How many bytes of second chances new entries have paid for. */
  #credit = 0;
  #isClosed = false;
  #closing: Promise<void> | undefined;
  /** Settles when the index is whole. */
  readonly indexed: Promise<void>;

  private constructor(folder: string, limits: LogLimits, deps: LogDeps, lock: Lock, segments: Segments) {
    const { clock, counts, erase, files, onLost, pending, trouble } = deps;
    const maxEntries = Math.ceil(limits.maxBytes / LEAST_ENTRY_BYTES);
    const shelf = { pending, places: new Places(), segments };
    const room = new Room(shelf, files, folder, { ...limits, maxEntries }, clock, counts);
    this.#room = room;
    this.#limits = limits;
    this.#deps = deps;
    this.#lock = lock;
    this.#shelf = shelf;
    const { segmentBytes } = limits;
    this.#writer = new Writer({ shelf, room, clock, counts, trouble, segmentBytes, erase, onLost });
    // What waits already is newer than anything that is found.
    for (const selector of pending.erasures()) this.#graves?.bury(selector);
    this.indexed = this.#rebuild();
  }

  /** Takes a folder, and goes on where the process before has stopped. Rejects if the folder is not to be had. */
  static async open(folder: string, limits: LogLimits, deps: LogDeps): Promise<Log> {
    const lock = await deps.takeLock(join(folder, 'lock'));
    try {
      return new Log(folder, limits, deps, lock, await Segments.open(deps.files, folder));
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  get entries(): number {
    return this.#shelf.places.size;
  }

  get bytes(): number {
    return this.#shelf.segments.bytes;
  }

  get isIndexed(): boolean {
    return this.#graves === undefined;
  }

  async get(key: CacheKey): Promise<Entry | undefined> {
    const { places } = this.#shelf;
    const print = printOf(key);
    const place = places.get(print);
    if (!place) return undefined;
    const entry = await this.#read(key, place);
    // Whatever came meanwhile is newer than what was read.
    if (this.#isClosed || !places.isAt(print, place)) return undefined;
    if (!entry) {
      this.#deps.erase(key);
      return undefined;
    }
    const { lifetimeMs } = this.#limits;
    if (isExpired(entry, lifetimeMs, this.#deps.clock.now())) {
      this.erase(key);
      return undefined;
    }
    this.#giveSecondChance(key, print, place, entry);
    return entry;
  }

  /** Whether there may be something of a key on the disk. */
  knows(print: Print): boolean {
    return this.#graves !== undefined || this.#shelf.places.get(print) !== undefined;
  }

  /** Something newer of this key is pending: what new entries write pays for second chances. */
  supersede(print: Print, bytes: number): void {
    this.#shelf.places.delete(print);
    this.#credit = Math.min(this.#credit + bytes, this.#limits.segmentBytes);
    this.#writer.wake();
  }

  /** Takes what a selector reaches out of the index; true if there may be some of it on the disk. */
  erase(selector: Selector): boolean {
    this.#graves?.bury(selector);
    return this.#shelf.places.erase(selector) > 0 || this.#graves !== undefined;
  }

  /** There is something pending. */
  wake(): void {
    this.#writer.wake();
  }

  /** Settles when all is written that can be for now. */
  idle(): Promise<void> {
    return this.#writer.idle();
  }

  /** Closes all files, when the last read and write have ended; any number of times. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    await this.#writer.close();
    await this.#shelf.segments.close();
    await this.indexed;
    this.#lock.close();
  }

  async #rebuild(): Promise<void> {
    const { clock, counts, trouble } = this.#deps;
    const { lifetimeMs } = this.#limits;
    const graves = this.#graves ?? new Graves();
    const isClosed = () => this.#isClosed;
    try {
      await rebuild({ shelf: this.#shelf, graves, writer: this.#writer, clock, counts, lifetimeMs, isClosed });
    } catch (error) {
      trouble.warn("the cache's index is not whole", codeOf(error));
    }
    this.#graves = undefined;
  }

  async #read(key: CacheKey, place: Place): Promise<Entry | undefined> {
    const { counts, trouble } = this.#deps;
    const { segments } = this.#shelf;
    const segment = segments.get(place.segment);
    if (!segment) return undefined;
    try {
      const bytes = await segment.read(Buffer.allocUnsafeSlow(place.bytes), place.offset);
      const entry = decodeEntry(bytes, { mark: segment.mark, offset: place.offset }, key);
      if (!entry) counts.corrupt += 1;
      return entry;
    } catch (error) {
      // A segment that went meanwhile was closed, and that is no fault.
      if (segments.get(place.segment) !== segment) return undefined;
      counts.faults += 1;
      trouble.warn("the cache's disk could not be read", codeOf(error));
      return undefined;
    }
  }

  #giveSecondChance(key: CacheKey, print: Print, place: Place, entry: Entry): void {
    const { pending, segments } = this.#shelf;
    if (this.#credit < place.bytes || !pending.hasRoom(place.bytes)) return;
    if (!this.#room.isNearlyFull || !segments.isOld(place.segment)) return;
    const record = draft({ kind: 'put', key, entry });
    if (!record) return;
    this.#credit -= record.bytes;
    pending.put(key, print, entry, record);
    this.#writer.wake();
  }
}
