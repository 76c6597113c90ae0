/**
 * Writes what is pending to the end of the log, batch after batch.
 *
 * 1. A batch goes to the newest segment; when that is full, to a new one. Room is made before, not after.
 * 2. What fails stands in front again. What a failed write may have left behind the tail is cut off; where that fails,
 *    too, the segment is not written to any more: a newer one beats whatever may be found there.
 * 3. After a failure there is a pause, longer each time. Reads go on meanwhile.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../clock.ts';
import type { CacheKey } from '../entry.ts';
import { codeOf } from './files.ts';
import type { Op } from './pending.ts';
import { encodeRecord, HEAD_BYTES, isVoiding } from './record.ts';
import type { Room } from './room.ts';
import type { Segment } from './segment.ts';
import type { Counts, Shelf } from './shelf.ts';
import type { Trouble } from './trouble.ts';

/** What a writer needs of the log around it. */
export type WriterDeps = {
  shelf: Shelf;
  room: Room;
  clock: Clock;
  counts: Counts;
  segmentBytes: number;
  trouble: Trouble;
  /** Erases an entry that is not to be had any more. */
  erase: (key: CacheKey) => void;
  /** The folder is not there any more, or not the one that was opened. */
  onLost: () => void;
};

const BATCH = { maxBytes: 1024 ** 2, maxRecords: 256 };
const PAUSE_MS = { first: 1000, most: 60_000 };
const TIDY_EVERY_MS = 3_600_000;

/** The folder has been removed under us. */
class FolderGone extends Error {
  readonly code = 'ENOENT';
}

/** The one writer of a log. */
export class Writer {
  readonly #deps: WriterDeps;
  readonly #batch: typeof BATCH;
  #active: Segment | undefined;
  #voids = 0;
  #hasBegun = false;
  #isClosed = false;
  #isPaused = false;
  #pauseMs = 0;
  #run: Promise<void> | undefined;
  #tidiedAt: number;
  #cancelPause = () => {};
  #cancelTidy = () => {};

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    this.#batch = { ...BATCH, maxBytes: Math.min(BATCH.maxBytes, deps.segmentBytes - HEAD_BYTES) };
    this.#tidiedAt = deps.clock.monotonic();
  }

  /** Begins to write: behind what the newest segment holds, or in a new one. */
  begin(newest: Segment | undefined, voids: number): void {
    this.#active = newest;
    this.#voids = voids;
    this.#hasBegun = true;
    this.#tidyLater();
    this.wake();
  }

  /** There is something to be written. */
  wake(): void {
    // Whoever waits to hear that it is written shall not wait for a pause to end.
    if (this.#isPaused) this.#deps.shelf.pending.tellAll(false);
    if (this.#run || !this.#hasBegun || this.#isPaused || this.#isClosed) return;
    this.#run = this.#drain().finally(() => {
      this.#run = undefined;
      if (this.#deps.shelf.pending.size > 0) this.wake();
    });
  }

  /** Settles when all is written that can be for now. */
  async idle(): Promise<void> {
    while (this.#run) await this.#run;
  }

  /** Writes no more; settles when the last write has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelPause();
    this.#cancelTidy();
    await this.idle();
  }

  async #drain(): Promise<void> {
    // What comes in one turn is written together.
    await nextTurn();
    const { pending } = this.#deps.shelf;
    try {
      if (this.#deps.clock.monotonic() - this.#tidiedAt >= TIDY_EVERY_MS) await this.#tidy();
      while (pending.size > 0 && !this.#isClosed) await this.#writeBatch();
      this.#pauseMs = 0;
      if (!this.#deps.room.isShort) this.#deps.trouble.end();
    } catch (fault) {
      await this.#fail(fault);
    }
  }

  async #writeBatch(): Promise<void> {
    const { room, shelf } = this.#deps;
    if (room.isStale) await this.#lookAround();
    if (room.isShort) this.#dropPuts();
    const batch = shelf.pending.take(this.#batch);
    if (batch.length === 0) return;
    try {
      const bytes = batch.reduce((sum, { record }) => sum + record.bytes, 0);
      const segment = await this.#segmentFor(bytes);
      await room.makeFor(bytes);
      await this.#append(segment, batch);
    } catch (fault) {
      shelf.pending.failed();
      throw fault;
    }
  }

  async #lookAround(): Promise<void> {
    const { room, trouble } = this.#deps;
    await room.look();
    if (room.isShort) trouble.begin("the cache's disk is nearly full: nothing is added to it", 'minFreeBytes');
    if (await this.#active?.isGone()) throw new FolderGone();
  }

  #dropPuts(): void {
    for (const op of this.#deps.shelf.pending.dropPuts()) {
      this.#deps.counts.droppedWrites += 1;
      if (op.kind === 'put' && op.record.kind === 'replace') this.#deps.erase(op.key);
    }
  }

  async #segmentFor(bytes: number): Promise<Segment> {
    const active = this.#active;
    const isEmpty = active?.tail === HEAD_BYTES;
    if (active && (isEmpty || active.tail + bytes <= this.#deps.segmentBytes)) return active;
    this.#active = undefined;
    this.#active = await this.#deps.shelf.segments.create(this.#voids);
    return this.#active;
  }

  async #append(segment: Segment, batch: Op[]): Promise<void> {
    let [offset, voids] = [segment.tail, this.#voids];
    const pieces: Buffer[] = [];
    const written = batch.map((op) => {
      const place = { segment: segment.number, offset, bytes: op.record.bytes };
      pieces.push(...encodeRecord(op.record, { mark: segment.mark, offset }, voids));
      offset += op.record.bytes;
      if (isVoiding(op.record.kind)) voids += 1;
      return { op, place };
    });
    await segment.write(pieces);
    // Whoever was told that something is gone may rely on it.
    if (batch.some(({ kind }) => kind === 'erase')) await segment.sync();
    segment.tail = offset;
    this.#voids = voids;
    for (const { op, place } of written) {
      if (op.kind === 'erase') continue;
      segment.youngestAt = Math.max(segment.youngestAt, op.entry.storedAt);
      if (!op.isStale) this.#deps.shelf.places.set(op.print, place);
    }
    this.#deps.shelf.pending.done();
  }

  async #fail(fault: unknown): Promise<void> {
    const { clock, counts, onLost, room, shelf, trouble } = this.#deps;
    const code = codeOf(fault);
    shelf.pending.tellAll(false);
    await this.#active?.cut().catch(() => (this.#active = undefined));
    if (['ENOENT', 'ENOTDIR', 'ESTALE'].includes(code)) {
      this.#isPaused = true;
      return onLost();
    }
    counts.faults += 1;
    trouble.begin("the cache's disk takes no writes", code);
    if (code === 'ENOSPC' || code === 'EDQUOT') await room.evictOldest().catch(() => {});
    this.#isPaused = true;
    this.#pauseMs = Math.min(PAUSE_MS.most, this.#pauseMs * 2 || PAUSE_MS.first);
    this.#cancelPause = clock.after(this.#pauseMs, () => {
      this.#isPaused = false;
      this.wake();
    });
  }

  async #tidy(): Promise<void> {
    const { clock, room, shelf } = this.#deps;
    this.#tidiedAt = clock.monotonic();
    await room.letExpiredGo();
    if (this.#active && !shelf.segments.get(this.#active.number)) this.#active = undefined;
  }

  #tidyLater(): void {
    this.#cancelTidy = this.#deps.clock.after(TIDY_EVERY_MS, () => {
      this.#tidyLater();
      this.wake();
    });
  }
}
