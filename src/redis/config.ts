import { z } from 'zod';
import { readRedisUrl } from './url.ts';

/** What all replicas share. */
export const redisSchema = z.strictObject({
  url: z
    .string({ error: 'must be a URL like redis://host:6379' })
    .superRefine((text, context) => {
      const read = readRedisUrl(text);
      if ('problem' in read) context.addIssue(read.problem);
    })
    .optional()
    .describe('The Redis in which all replicas behind one egress address share the quota.')
    .meta({ secret: true, pattern: '^rediss?(?:\\+sentinel|\\+cluster)?://' }),
  keyPrefix: z
    .string({ error: 'must be a text' })
    .max(200, { error: 'must be no longer than 200 characters' })
    // Braces would name another hash tag than ours, and a Cluster would spread the keys of one quota.
    .regex(/^[^{}\s]*$/, { error: 'must have no braces and no spaces' })
    .default('chatfiles:')
    .describe('What the names of all keys in Redis begin with.'),
});

/** Who is told of each connection: what it is for, whether it stands, and how long each command took in ms. */
export type RedisWatch = { opened(use: string, isUp: () => boolean): (tookMs: number) => void };

/** The Redis that replicas share, if any; and who watches the connections to it. */
export type RedisConfig = z.output<typeof redisSchema> & { watch?: RedisWatch | undefined };
