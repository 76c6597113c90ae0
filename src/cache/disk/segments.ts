import { join } from 'node:path';
import { codeOf, type Files } from './files.ts';
import { remove, Segment } from './segment.ts';

/** A name that is a segment's: nothing else in the folder is ever opened. */
const NAME = /^[1-9]\d{0,8}$/;

/** How many names that something else bears are skipped in search of a free one. */
const MAX_NAMES_TRIED = 100;

/** The segments of a folder from the oldest to the newest. They go whole, and the oldest goes first. */
export class Segments {
  readonly #files: Files;
  readonly #folder: string;
  /** In the order of their numbers, which a Map keeps: new ones are always the highest. */
  readonly #open = new Map<number, Segment>();
  /** The highest number ever used: a number never comes back, so that age can be told by it. */
  #last = 0;
  /** Files that had a segment's name and were none, from the last opening. */
  damaged = 0;
  /** The newest of them were: nobody can tell what these had made void. */
  hasLostNewest = false;

  private constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  /** Opens all there are; what has a segment's name and is a file but no segment is removed. */
  static async open(files: Files, folder: string): Promise<Segments> {
    const segments = new Segments(files, folder);
    const found = await files.readdir(folder, { withFileTypes: true });
    const numbers = found.filter((each) => each.isFile() && NAME.test(each.name)).map(({ name }) => Number(name));
    try {
      for (const number of numbers.toSorted((a, b) => a - b)) await segments.#adopt(number);
    } catch (error) {
      await segments.close();
      throw error;
    }
    return segments;
  }

  get oldest(): Segment | undefined {
    return this.#open.values().next().value;
  }

  get count(): number {
    return this.#open.size;
  }

  get bytes(): number {
    let bytes = 0;
    for (const { tail } of this.#open.values()) bytes += tail;
    return bytes;
  }

  get(number: number): Segment | undefined {
    return this.#open.get(number);
  }

  fromNewest(): Segment[] {
    return [...this.#open.values()].toReversed();
  }

  /** Whether a segment is among the oldest quarter: the next to go. */
  isOld(number: number): boolean {
    let rank = 0;
    for (const each of this.#open.keys()) {
      if (rank >= this.#open.size / 4) return false;
      if (each === number) return true;
      rank += 1;
    }
    return false;
  }

  async create(voids: number): Promise<Segment> {
    for (let tried = 1; ; tried += 1) {
      this.#last += 1;
      try {
        const segment = await Segment.create(this.#files, this.#folder, this.#last, voids);
        this.#open.set(segment.number, segment);
        return segment;
      } catch (error) {
        if (codeOf(error) !== 'EEXIST' || tried === MAX_NAMES_TRIED) throw error;
      }
    }
  }

  /** Removes one. Were an older one to outlive it, what this one had made void would come back. */
  async remove(segment: Segment): Promise<void> {
    await remove(this.#files, segment.path);
    this.#open.delete(segment.number);
    void segment.close();
  }

  async close(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(all.map((segment) => segment.close()));
  }

  async #adopt(number: number): Promise<void> {
    const segment = await Segment.open(this.#files, this.#folder, number);
    this.#last = number;
    if (segment instanceof Segment) {
      this.#open.set(number, segment);
      this.hasLostNewest = false;
      return;
    }
    if (segment === 'foreign') {
      this.damaged += 1;
      this.hasLostNewest = true;
    }
    await remove(this.#files, join(this.#folder, String(number))).catch(() => {});
  }
}
