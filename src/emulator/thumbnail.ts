import { readFile } from 'node:fs/promises';
import type { FileStore, StoredFile } from './files.ts';

/** A thumbnail on the disk. */
export type Thumbnail = Exclude<StoredFile['thumbnail'], 'none' | undefined>;

/** Makes thumbnails of images when they are first asked for. */
export type Thumbnails = {
  /** Undefined when the original is to be sent: a small image, a damaged one, or no image at all. */
  of(file: StoredFile): Promise<Thumbnail | undefined>;
};

/** The formats that a thumbnail is made of; it is of the same format. */
const TYPES: Readonly<Record<string, string>> = {
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  gif: 'image/gif',
};
/** Enough for any photograph, and too little for a decompression bomb. */
const MAX_PIXELS = 64_000_000;
/** Node's thread pool has four threads; files must still be read while thumbnails are made. */
const MAX_AT_ONCE = 2;

async function loadSharp() {
  const { default: sharp } = await import('sharp');
  // Its cache would hold open the files that the store has removed.
  sharp.cache(false);
  return sharp;
}

async function make({ path, box }: StoredFile): Promise<{ data: Buffer; contentType: string } | 'none'> {
  const sharp = await loadSharp();
  try {
    const image = sharp(await readFile(path), { limitInputPixels: MAX_PIXELS, failOn: 'error' });
    const { format } = await image.metadata();
    const contentType = TYPES[format];
    if (contentType === undefined) return 'none';
    // Turned upright first: the copy loses the note of how the camera was held.
    const data = await image
      .rotate()
      .resize({ ...box, fit: 'inside', withoutEnlargement: true })
      .toBuffer();
    return { data, contentType };
  } catch {
    return 'none';
  }
}

/** Starts a line of few at a time, in which every file has one place however often it is asked for. */
export function createThumbnails(store: FileStore, floorBytes: number): Thumbnails {
  const underway = new Map<string, Promise<void>>();
  const waiting: (() => void)[] = [];
  let busy = 0;

  const makeInTurn = async (file: StoredFile): Promise<void> => {
    if (busy >= MAX_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    else busy += 1;
    try {
      await store.attachThumbnail(file, await make(file));
    } finally {
      const next = waiting.shift();
      // The place goes from hand to hand; `busy` counts places, not files.
      if (next === undefined) busy -= 1;
      else next();
      underway.delete(file.uuid);
    }
  };

  return {
    async of(file) {
      if (file.bytes <= floorBytes) return undefined;
      if (file.thumbnail === undefined) {
        const making = underway.get(file.uuid) ?? makeInTurn(file);
        underway.set(file.uuid, making);
        await making;
      }
      const made = file.thumbnail;
      return typeof made === 'object' ? made : undefined;
    },
  };
}
