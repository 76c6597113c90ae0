/**
 * Numbers as an operator writes them in the configuration: counts, times and sizes, with one wording for all mistakes.
 */
import bytes from 'bytes';
import { z } from 'zod';

/** The longest time that may be configured: a day. Node's timers fire at once when given more than 24.8 of them. */
const DAY_MS = 86_400_000;

/** The largest size that may be configured: a pebibyte, far below where numbers lose whole bytes. */
const MAX_BYTES = 2 ** 50;

/** A whole number within bounds. */
export function whole(min: number, max: number, unit = '') {
  const error = `must be a whole number${unit} from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

/** A time in milliseconds, no longer than a day. */
export const milliseconds = (min = 1, max = DAY_MS) => whole(min, max, ' of milliseconds');

/** A TCP port; 0 lets the system choose one. */
export const port = () => whole(0, 65_535);

/** A size in bytes, written as a whole number or as one with a unit, where 1KB is 1024 bytes. */
export function byteSize(min = 0) {
  const error = `must be a whole number of bytes (${min} or more), or one with a unit like 64KB, 10MB or 2GB`;
  return z
    .union(
      [
        z.int({ error }).min(min, { error }).max(MAX_BYTES, { error }),
        // No flag: a JSON Schema made of this has none.
        z.string().regex(/^\d{1,16} ?(?:[kmgtKMGT]?[bB])?$/, { error }),
      ],
      { error },
    )
    .transform((size) => bytes.parse(size))
    .pipe(z.int({ error }).min(min, { error }).max(MAX_BYTES, { error }));
}

/** One of two statuses, the first of which is the default. */
export const status = (usual: number, other: number) =>
  z.literal([usual, other], { error: `must be ${usual} or ${other}` }).default(usual);

/** A size as one would write it: with the largest unit of which it has a whole number. */
export function showBytes(size: number): number | string {
  const unit = ['TB', 'GB', 'MB', 'KB'].find((name) => size % (bytes.parse(`1${name}`) ?? 1) === 0);
  return unit === undefined || size === 0 ? size : `${size / (bytes.parse(`1${unit}`) ?? 1)}${unit}`;
}

/** What an editor can check of a URL; the rest is for the loader. */
export const HTTP_URL = { pattern: '^[Hh][Tt][Tt][Pp][Ss]?://[^/]' };

/** Yes or no. */
export const yesOrNo = () => z.boolean({ error: 'must be true or false' });
