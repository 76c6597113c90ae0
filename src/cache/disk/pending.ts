/**
 * What is still to be written, in order. It can be read as if it were written already.
 *
 * 1. Of what is asked for one key only the last waits; an erasure takes everything out that it reaches. So whatever
 *    order two things in here have, they do not touch each other.
 * 2. A batch is taken out to be written, and then either is done, or has failed and stands in front again. What came for
 *    the same key meanwhile makes a record of the batch stale: it is on the disk, but something newer will be.
 * 3. Entries are bounded by their bytes, erasures by their number: too many become one that erases everything.
 */
import { type CacheKey, covers, type Entry, isKey, type Selector, textOf } from '../entry.ts';
import { type Draft, draft } from './record.ts';
import type { Print } from './places.ts';

/** Something to be written. Whoever waits for it is told whether a restart will know of it. */
export type Op = { record: Draft; isStale: boolean; told: ((isKept: boolean) => void)[] } & (
  | { kind: 'put'; key: CacheKey; print: Print; entry: Entry }
  | { kind: 'erase'; selector: Selector }
);

/** How many bytes of entries, and how many erasures may wait. */
export type PendingLimits = { maxBytes: number; maxErasures: number };

/** How many bytes and records are written at once, at most. */
export type BatchLimits = { maxBytes: number; maxRecords: number };

const reachOf = (op: Op): Selector => (op.kind === 'put' ? op.key : op.selector);

/** The queue in front of the disk. */
export class Pending {
  readonly #limits: PendingLimits;
  #waiting = new Map<string, Op>();
  #flying = new Map<string, Op>();
  #bytes = 0;
  #erasures = 0;

  constructor(limits: PendingLimits) {
    this.#limits = limits;
  }

  /** How many wait; those in a batch not counted. */
  get size(): number {
    return this.#waiting.size;
  }

  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= this.#limits.maxBytes;
  }

  /** The last that was asked for a key: also an erasure of it alone, but not a wider one, which leaves nothing behind. */
  find(text: string): Op | undefined {
    const op = this.#waiting.get(text) ?? this.#flying.get(text);
    return op?.isStale ? undefined : op;
  }

  put(key: CacheKey, print: Print, entry: Entry, record: Draft): void {
    this.#replace(textOf(key), { kind: 'put', key, print, entry, record, isStale: false, told: [] });
  }

  /** True when so many erasures wait that they had better become one. */
  get isCrowded(): boolean {
    return this.#erasures >= this.#limits.maxErasures;
  }

  /** Whether there are erasures that a restart would not know of yet. */
  get isErasing(): boolean {
    return this.#erasures > 0;
  }

  /** Whether anything waits or is being written that a selector reaches. */
  has(selector: Selector): boolean {
    if (isKey(selector)) return this.find(textOf(selector)) !== undefined;
    const isReached = (op: Op) => !op.isStale && covers(selector, reachOf(op));
    return this.#waiting.values().some(isReached) || this.#flying.values().some(isReached);
  }

  /** Takes out what a selector reaches, and has the erasure written; true once a restart will know of it. */
  erase(selector: Selector): Promise<boolean> {
    const record = draft({ kind: 'erase', selector });
    // Nothing was ever stored under a name this long.
    if (!record) return Promise.resolve(true);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const erasure: Op = { kind: 'erase', selector, record, isStale: false, told: [resolve] };
    if (!isKey(selector)) this.#takeOut(selector, erasure);
    this.#replace(textOf(selector), erasure);
    return promise;
  }

  /** The next batch; it flies until it is done or has failed. */
  take({ maxBytes, maxRecords }: BatchLimits): Op[] {
    let bytes = 0;
    for (const [text, op] of this.#waiting) {
      bytes += op.record.bytes;
      if (this.#flying.size > 0 && (bytes > maxBytes || this.#flying.size >= maxRecords)) break;
      this.#waiting.delete(text);
      this.#flying.set(text, op);
    }
    return [...this.#flying.values()];
  }

  /** The batch is on the disk. */
  done(): void {
    for (const op of this.#flying.values()) this.#settle(op, true);
    this.#flying.clear();
  }

  /** The batch is not, or not all of it: what is not stale stands in front again, and is still to be read. */
  failed(): void {
    const again = [...this.#flying].filter(([, op]) => !op.isStale);
    for (const op of this.#flying.values()) if (op.isStale) this.#settle(op, false);
    this.#waiting = new Map([...again, ...this.#waiting]);
    this.#flying.clear();
    this.tellAll(false);
  }

  /** Tells all who wait what is known for now. */
  tellAll(isKept: boolean): void {
    for (const op of this.#waiting.values()) for (const tell of op.told.splice(0)) tell(isKept);
  }

  /** Gives up the entries that wait, and returns them: what they should have replaced is still there. */
  dropPuts(): Op[] {
    const dropped: Op[] = [];
    for (const [text, op] of this.#waiting) {
      if (op.kind !== 'put') continue;
      this.#waiting.delete(text);
      this.#settle(op, false);
      dropped.push(op);
    }
    return dropped;
  }

  /** Everything that waits, as the erasures that are needed lest something older comes back. */
  erasures(): Selector[] {
    const voiding = this.#waiting.values().filter(({ record }) => record.kind !== 'put');
    return voiding.map(reachOf).toArray();
  }

  #takeOut(selector: Selector, erasure: Op): void {
    for (const [text, op] of this.#waiting) {
      if (!covers(selector, reachOf(op))) continue;
      this.#waiting.delete(text);
      erasure.told.push(...op.told.splice(0));
      this.#settle(op, false);
    }
    for (const op of this.#flying.values()) if (covers(selector, reachOf(op))) op.isStale = true;
  }

  #replace(text: string, op: Op): void {
    const before = this.#waiting.get(text);
    const flying = this.#flying.get(text);
    if (flying) flying.isStale = true;
    if (before) {
      // Behind everything else: a Map keeps a key where it first stood.
      this.#waiting.delete(text);
      op.told.push(...before.told.splice(0));
      this.#settle(before, false);
    }
    this.#waiting.set(text, op);
    if (op.kind === 'put') this.#bytes += op.record.bytes;
    else this.#erasures += 1;
  }

  #settle(op: Op, isKept: boolean): void {
    if (op.kind === 'put') this.#bytes -= op.record.bytes;
    else this.#erasures -= 1;
    for (const tell of op.told.splice(0)) tell(isKept);
  }
}
