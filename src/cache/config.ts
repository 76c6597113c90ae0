import { z } from 'zod';

/** Where thumbnails are kept. */
export const cacheSchema = z.strictObject({
  disk: z
    .strictObject({
      dir: z
        .string({ error: 'must be the path of a folder' })
        .min(1, { error: 'must be the path of a folder' })
        .refine((dir) => !dir.includes('\0'), { error: 'must be the path of a folder' })
        .optional()
        .describe('The folder in which thumbnails are kept across restarts.'),
    })
    .prefault({}),
});

/** Where thumbnails are kept. */
export type CacheConfig = z.output<typeof cacheSchema>;
