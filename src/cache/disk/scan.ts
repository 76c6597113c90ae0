/**
 * Walks through a segment that an earlier process has written, and tells which whole records there are.
 *
 * 1. Record follows record. Where the header is whole and the rest is not, the walk goes on behind it.
 * 2. Where the header is not whole, the walk goes on at the next mark of this segment.
 * 3. `voids` is followed. Where a record has counted more of them than were seen, one was lost before it: this record
 *    and those behind it can be trusted, those before it cannot.
 */
import { type CacheKey, isKey, type Selector } from '../entry.ts';
import { type Place, type Print, printOf } from './places.ts';
import { decodeHeader, decodeScope, HEAD_BYTES, HEADER_BYTES, isVoiding, MARK_BYTES } from './record.ts';
import type { Segment } from './segment.ts';

/** A whole record: an entry and where it lies, or an erasure. */
export type Found =
  | { kind: 'entry'; key: CacheKey; print: Print; place: Place; storedAt: number }
  | { kind: 'erasure'; selector: Selector };

/** What a walk has found. */
export type Walk = {
  found: Found[];
  /** The first of them that can be trusted; all, when it is 0. */
  trustedFrom: number;
  /** How many voids there were up to the end. */
  voids: number;
  /** The end of the last whole record. */
  end: number;
  /** Places where something was that is no whole record. */
  damaged: number;
  youngestAt: number;
};

/** Read at once, and looked through without a pause. */
const CHUNK_BYTES = 256 * 1024;

/** Walks through a segment; what cannot be read ends the walk as the end of the file does. */
export async function walk(segment: Segment): Promise<Walk> {
  const { mark, number } = segment;
  const sight = new Sight(segment);
  const walked: Walk = {
    found: [],
    trustedFrom: 0,
    voids: segment.voids,
    end: HEAD_BYTES,
    damaged: 0,
    youngestAt: 0,
  };
  let isLost = false;
  for (let offset = HEAD_BYTES; ;) {
    const start = sight.at(offset, HEADER_BYTES) ?? (await sight.move(offset, HEADER_BYTES));
    if (start.length === 0) return walked;
    const header = decodeHeader(start, { mark, offset });
    if (!header) {
      if (!isLost) walked.damaged += 1;
      isLost = true;
      offset = await nextMark(sight, mark, offset + 1);
      continue;
    }
    isLost = false;
    const bytes = sight.at(offset, header.bytes) ?? (await sight.move(offset, header.bytes));
    const selector = decodeScope(bytes, header);
    if (selector) {
      if (header.voids > walked.voids) walked.trustedFrom = walked.found.length;
      walked.voids = header.voids + (isVoiding(header.kind) ? 1 : 0);
      walked.end = offset + header.bytes;
      if (header.kind === 'erase' || !isKey(selector)) walked.found.push({ kind: 'erasure', selector });
      else {
        const place = { segment: number, offset, bytes: header.bytes };
        const { storedAt } = header;
        walked.youngestAt = Math.max(walked.youngestAt, storedAt);
        walked.found.push({ kind: 'entry', key: selector, print: printOf(selector), place, storedAt });
      }
    } else walked.damaged += 1;
    offset += header.bytes;
  }
}

/** Where the next mark begins, or something behind the end. */
async function nextMark(sight: Sight, mark: Buffer, from: number): Promise<number> {
  for (let offset = from; ;) {
    if (!sight.at(offset, MARK_BYTES)) await sight.move(offset, MARK_BYTES);
    const seen = sight.from(offset);
    if (seen.length < MARK_BYTES) return offset + MARK_BYTES;
    const at = seen.indexOf(mark);
    if (at !== -1) return offset + at;
    // A mark may begin in what is seen and end behind it.
    offset += seen.length - MARK_BYTES + 1;
  }
}

/** The part of a segment that is in memory. */
class Sight {
  readonly #segment: Segment;
  #buffer: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #seen: Buffer = this.#buffer.subarray(0, 0);
  #start = 0;

  constructor(segment: Segment) {
    this.#segment = segment;
  }

  /** So many bytes from an offset on, if all of them are in sight. */
  at(offset: number, bytes: number): Buffer | undefined {
    const start = offset - this.#start;
    return start >= 0 && start + bytes <= this.#seen.length ? this.#seen.subarray(start, start + bytes) : undefined;
  }

  /** All that is in sight from an offset on. */
  from(offset: number): Buffer {
    return this.#seen.subarray(offset - this.#start);
  }

  /** Brings bytes into sight; fewer where the file ends, or cannot be read. */
  async move(offset: number, bytes: number): Promise<Buffer> {
    if (bytes > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(bytes);
    this.#start = offset;
    this.#seen = await this.#segment.read(this.#buffer, offset).catch(() => this.#buffer.subarray(0, 0));
    return this.#seen.subarray(0, Math.min(bytes, this.#seen.length));
  }
}
