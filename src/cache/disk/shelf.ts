import type { Pending } from './pending.ts';
import type { Places } from './places.ts';
import type { Segments } from './segments.ts';

/** What there is on the disk, where, and what is still to be written: all parts of an open log share one. */
export type Shelf = { pending: Pending; places: Places; segments: Segments };

/** What is counted, over all openings of a folder. */
export type Counts = {
  hits: number;
  misses: number;
  evictions: number;
  droppedWrites: number;
  corrupt: number;
  /** Steps of the file system that failed. */
  faults: number;
};
