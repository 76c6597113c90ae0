import type { Clock } from '../../clock.ts';
import { isExpired } from '../entry.ts';
import type { Files } from './files.ts';
import type { Counts, Shelf } from './shelf.ts';

/** How much may lie on the disk, for how long, and what must stay free beside it. */
export type RoomLimits = { maxBytes: number; maxEntries: number; minFreeBytes: number; lifetimeMs: number };

/** How often the system is asked for its free space, in ms. */
const LOOK_EVERY_MS = 5000;

const NEARLY = 0.75;

/** Sees to it that there is room: whole segments go, the oldest first. The newest stays: it is being written to. */
export class Room {
  readonly #shelf: Shelf;
  readonly #files: Files;
  readonly #folder: string;
  readonly #limits: RoomLimits;
  readonly #clock: Clock;
  readonly #counts: Counts;
  #lookedAt = -Infinity;
  #missing = 0;

  constructor(shelf: Shelf, files: Files, folder: string, limits: RoomLimits, clock: Clock, counts: Counts) {
    this.#shelf = shelf;
    this.#files = files;
    this.#folder = folder;
    this.#limits = limits;
    this.#clock = clock;
    this.#counts = counts;
  }

  /** Whether it is time to look at the disk again. */
  get isStale(): boolean {
    return this.#clock.monotonic() - this.#lookedAt >= LOOK_EVERY_MS;
  }

  /** Whether less is free than must be, as of the last look. */
  get isShort(): boolean {
    return this.#missing > 0;
  }

  /** Whether the oldest will soon have to go. */
  get isNearlyFull(): boolean {
    const { places, segments } = this.#shelf;
    const { maxBytes, maxEntries } = this.#limits;
    return segments.bytes > maxBytes * NEARLY || places.size > maxEntries * NEARLY;
  }

  /** Looks how much is free, and gives back what is missing. */
  async look(): Promise<void> {
    const { bavail, bsize } = await this.#files.statfs(this.#folder);
    this.#lookedAt = this.#clock.monotonic();
    this.#missing = this.#limits.minFreeBytes - bavail * bsize;
    const { segments } = this.#shelf;
    const enough = segments.bytes - this.#missing;
    while (this.isShort && segments.bytes > enough && (await this.evictOldest()));
  }

  /** Makes room for so many bytes at the end of the newest segment. */
  async makeFor(bytes: number): Promise<void> {
    const { segments, places } = this.#shelf;
    const { maxBytes, maxEntries } = this.#limits;
    while (segments.bytes + bytes > maxBytes || places.size > maxEntries) if (!(await this.evictOldest())) return;
  }

  /** Removes the oldest segment, unless it is the only one. */
  async evictOldest(): Promise<boolean> {
    const { segments } = this.#shelf;
    if (segments.count < 2) return false;
    this.#counts.evictions += await this.#removeOldest();
    return true;
  }

  /** Removes the segments in which nothing is left to be served, the newest included: nobody asked for it to be kept. */
  async letExpiredGo(): Promise<void> {
    const { segments } = this.#shelf;
    const isOver = () => {
      const { oldest } = segments;
      return oldest && isExpired({ storedAt: oldest.youngestAt }, this.#limits.lifetimeMs, this.#clock.now());
    };
    while (isOver()) await this.#removeOldest();
  }

  async #removeOldest(): Promise<number> {
    const { segments, places } = this.#shelf;
    const { oldest } = segments;
    if (!oldest) return 0;
    await segments.remove(oldest);
    return places.leave(oldest.number);
  }
}
