/**
 * Where each entry lies on the disk, in 32 bytes of memory an entry, however long its key is.
 *
 * A key is known by its print: 64 bits of a digest of app and file, 32 of the variant. Two keys of one print are one to
 * the index; the record itself tells them apart, so the worst of it is a miss. All variants of a file hang in one chain,
 * so that a file is erased without looking further; to erase an app, all rows are looked at.
 */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { CacheKey, Selector } from '../entry.ts';

/** Where a record lies, and how long it is. */
export type Place = { segment: number; offset: number; bytes: number };

/** What the index knows of a key. */
export type Print = { app: number; high: number; low: number; variant: number };

const digestOf = (app: string, file: string): Buffer => hash('sha256', JSON.stringify([app, file]), 'buffer');

/** The print of a key. */
export function printOf({ app, file, variant }: CacheKey): Print {
  const digest = digestOf(app, file);
  return { app: crc32(app), high: digest.readUInt32BE(0), low: digest.readUInt32BE(4), variant: crc32(variant) };
}

// The columns of a row. NEXT, like the heads, holds the number of a row and 1, or 0 for none.
const [APP, HIGH, LOW, VARIANT, SEGMENT, OFFSET, BYTES, NEXT] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const COLUMNS = 8;
const FIRST_ROWS = 1024;

/** The index of the disk tier. */
export class Places {
  #rows = new Uint32Array(FIRST_ROWS * COLUMNS);
  #heads = new Uint32Array(FIRST_ROWS);
  /** Rows that were ever used; those that are free again hang in a chain of their own. */
  #used = 0;
  #free = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(print: Print): Place | undefined {
    const at = this.#find(print);
    if (at === undefined) return undefined;
    const rows = this.#rows;
    return { segment: rows[at + SEGMENT]!, offset: rows[at + OFFSET]!, bytes: rows[at + BYTES]! };
  }

  /** Whether this is still where the entry lies. */
  isAt(print: Print, { segment, offset }: Place): boolean {
    const at = this.#find(print);
    return at !== undefined && this.#rows[at + SEGMENT] === segment && this.#rows[at + OFFSET] === offset;
  }

  set(print: Print, { segment, offset, bytes }: Place): void {
    const at = this.#find(print) ?? this.#add(print);
    const rows = this.#rows;
    rows[at + SEGMENT] = segment;
    rows[at + OFFSET] = offset;
    rows[at + BYTES] = bytes;
  }

  delete({ high, low, variant }: Print): number {
    return this.#removeFrom(
      this.#headOf(low),
      (rows, at) => rows[at + LOW] === low && rows[at + HIGH] === high && rows[at + VARIANT] === variant,
    );
  }

  /** Removes all that a selector reaches, and tells how many these were. */
  erase(selector: Selector): number {
    const { app, file, variant } = selector;
    if (app === undefined) return this.#clear();
    if (file === undefined) {
      const wanted = crc32(app);
      return this.#removeAll((rows, at) => rows[at + APP] === wanted);
    }
    if (variant !== undefined) return this.delete(printOf({ app, file, variant }));
    const { high, low } = printOf({ app, file, variant: '' });
    return this.#removeFrom(this.#headOf(low), (rows, at) => rows[at + LOW] === low && rows[at + HIGH] === high);
  }

  /** Removes all that lies in a segment, and tells how many these were. */
  leave(segment: number): number {
    return this.#removeAll((rows, at) => rows[at + SEGMENT] === segment);
  }

  #headOf(low: number): number {
    return low & (this.#heads.length - 1);
  }

  #find({ high, low, variant }: Print): number | undefined {
    const rows = this.#rows;
    for (let next = this.#heads[this.#headOf(low)]!; next !== 0;) {
      const at = (next - 1) * COLUMNS;
      if (rows[at + LOW] === low && rows[at + HIGH] === high && rows[at + VARIANT] === variant) return at;
      next = rows[at + NEXT]!;
    }
    return undefined;
  }

  #add({ app, high, low, variant }: Print): number {
    if (this.#free === 0 && this.#used === this.#heads.length) this.#grow();
    const rows = this.#rows;
    const row = this.#free === 0 ? this.#used++ : this.#free - 1;
    const at = row * COLUMNS;
    if (this.#free !== 0) this.#free = rows[at + NEXT]!;
    const head = this.#headOf(low);
    rows[at + APP] = app;
    rows[at + HIGH] = high;
    rows[at + LOW] = low;
    rows[at + VARIANT] = variant;
    rows[at + NEXT] = this.#heads[head]!;
    this.#heads[head] = row + 1;
    this.#size += 1;
    return at;
  }

  #grow(): void {
    const rows = new Uint32Array(this.#rows.length * 2);
    rows.set(this.#rows);
    const heads = new Uint32Array(this.#heads.length * 2);
    [this.#rows, this.#heads] = [rows, heads];
    for (let row = 0; row < this.#used; row += 1) {
      const head = this.#headOf(rows[row * COLUMNS + LOW]!);
      rows[row * COLUMNS + NEXT] = heads[head]!;
      heads[head] = row + 1;
    }
  }

  #removeFrom(head: number, isOut: (rows: Uint32Array, at: number) => boolean): number {
    const rows = this.#rows;
    let removed = 0;
    let last: number | undefined;
    for (let next = this.#heads[head]!; next !== 0;) {
      const at = (next - 1) * COLUMNS;
      const after = rows[at + NEXT]!;
      if (isOut(rows, at)) {
        if (last === undefined) this.#heads[head] = after;
        else rows[last + NEXT] = after;
        rows[at + NEXT] = this.#free;
        this.#free = next;
        removed += 1;
      } else last = at;
      next = after;
    }
    this.#size -= removed;
    return removed;
  }

  #removeAll(isOut: (rows: Uint32Array, at: number) => boolean): number {
    let removed = 0;
    for (let head = 0; head < this.#heads.length; head += 1) removed += this.#removeFrom(head, isOut);
    return removed;
  }

  #clear(): number {
    const removed = this.#size;
    this.#rows = new Uint32Array(FIRST_ROWS * COLUMNS);
    this.#heads = new Uint32Array(FIRST_ROWS);
    this.#used = this.#free = this.#size = 0;
    return removed;
  }
}
