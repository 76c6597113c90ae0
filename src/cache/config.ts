import { z } from 'zod';
import { byteSize, whole, yesOrNo } from '../quantity.ts';

const KB = 1024;
const MB = KB ** 2;

/** Where thumbnails are kept, how many, and for how long. */
export const cacheSchema = z.strictObject({
  enabled: yesOrNo()
    .default(true)
    .describe('Keep thumbnails, so that the next who asks for one costs no request to Easemob.'),
  memoryBytes: byteSize()
    .default(64 * MB)
    .describe('How much memory they may take. What was not asked for longest goes first.'),
  maxEntryBytes: byteSize()
    .default(256 * KB)
    .describe('The largest thumbnail that is kept.'),
  originalBytes: byteSize()
    .default(0)
    .describe('The largest original (a voice message, a small picture) that is kept likewise; 0: none.'),
  warmOnUpload: yesOrNo()
    .default(false)
    .describe('Fetch the thumbnail of a picture that was uploaded, with quota that nobody needs at the moment.'),
  lifetimeSeconds: whole(1, 31_536_000)
    .default(604_800)
    .describe('How long, in seconds, a thumbnail is kept: seven days, for which Easemob keeps files itself.'),
  disk: z
    .strictObject({
      dir: z
        .string({ error: 'must be the path of a folder' })
        .min(1, { error: 'must be the path of a folder' })
        .refine((dir) => !dir.includes('\0'), { error: 'must be the path of a folder' })
        .optional()
        .describe('The folder in which thumbnails outlive a restart; each replica needs its own. Without it, none do.'),
      maxBytes: byteSize(MB)
        .default(1024 * MB)
        .describe('How much of the disk they may take. The oldest go first, unless they were asked for lately.'),
      segmentBytes: byteSize(64 * KB)
        .default(64 * MB)
        .describe(
          'They lie in files of this size, which go whole. Adjusted so that there are between 8 and 256 files.',
        ),
      minFreeBytes: byteSize()
        .default(512 * MB)
        .describe('What must stay free on this disk for others. With less, nothing is added, and the oldest go.'),
    })
    .prefault({}),
});

/** Where thumbnails are kept, how many, and for how long. */
export type CacheConfig = z.output<typeof cacheSchema>;
