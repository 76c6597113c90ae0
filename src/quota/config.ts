import { z } from 'zod';
import { milliseconds, whole } from '../quantity.ts';

/** How many requests the upstream allows one egress address, and who waits how long for a slot. */
export const quotaSchema = z.strictObject({
  perSecond: whole(1, 10_000)
    .default(30)
    .describe('How many uploads, downloads and thumbnails, counted together, may go to Easemob in one window.'),
  windowMs: milliseconds().default(1000).describe('The length of that window; Easemob counts by the second.'),
  marginMs: milliseconds(0)
    .default(35)
    .describe("What is added to the window, for the network's uneven delays between the gateway and Easemob."),
  maxWaitMs: milliseconds(0)
    .default(10_000)
    .describe('How long a request may wait for its slot; one that would wait longer is answered with 503 at once.'),
  maxQueued: whole(0, 1_000_000).default(1000).describe('How many requests may wait for a slot at the same time.'),
});

/** How many requests one client address may make. */
export const clientLimitSchema = z.strictObject({
  requests: whole(1, 1_000_000).default(300).describe('How many requests one client address may make in that time.'),
  seconds: whole(1, 86_400).default(10).describe('The time, in seconds, over which those requests are counted.'),
});

const redisError = 'must be a URL like redis://host:6379 or rediss://user:password@host:6379/0';

/** Where several replicas share one quota. */
export const redisSchema = z.strictObject({
  url: z
    .string({ error: redisError })
    .refine((text) => /^rediss?:\/\/\S+$/.test(text) && Boolean(URL.parse(text)?.hostname), { error: redisError })
    .optional()
    .describe('The Redis in which all replicas behind one egress address share the quota.')
    .meta({ secret: true }),
  keyPrefix: z
    .string({ error: 'must be a text' })
    .max(200, { error: 'must be no longer than 200 characters' })
    .default('chatfiles:')
    .describe('What the names of all keys in Redis begin with.'),
});

/** The upstream's allowance and the line in front of it. */
export type QuotaConfig = z.output<typeof quotaSchema>;
/** The allowance of one client address. */
export type ClientLimitConfig = z.output<typeof clientLimitSchema>;
/** The Redis that replicas share, if any. */
export type RedisConfig = z.output<typeof redisSchema>;
