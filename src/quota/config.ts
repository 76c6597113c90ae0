import { z } from 'zod';
import { byteSize, milliseconds, status, whole, yesOrNo } from '../quantity.ts';

const MB = 1024 ** 2;
const CLIENTS_BY = ['address', 'token', 'app'] as const;
const PACINGS = ['auto', 'smooth', 'burst'] as const;
const weightError = 'must be org/app=weight with a whole number from 1 to 100, like my-org/my-app=3';

/** The source address behind which replicas share one quota. */
export const egressSchema = z.strictObject({
  id: z
    .string({ error: 'must be a name of letters, digits, dots, dashes and underscores' })
    .regex(/^[A-Za-z0-9._-]{1,64}$/, { error: 'must be a name of letters, digits, dots, dashes and underscores' })
    .default('default')
    .describe('A name for the source address that Easemob sees; replicas with the same name share one quota.'),
});

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
    .describe('How long a request may wait for its slot; one that would wait longer is answered with 503 at once.')
    .meta({ reload: true }),
  uploadMaxWaitMs: milliseconds(0)
    .optional()
    .describe('The same for uploads alone; without it, maxWaitMs.')
    .meta({ reload: true }),
  downloadMaxWaitMs: milliseconds(0)
    .optional()
    .describe('The same for downloads alone; without it, maxWaitMs.')
    .meta({ reload: true }),
  thumbnailMaxWaitMs: milliseconds(0)
    .optional()
    .describe('The same for thumbnails alone; without it, maxWaitMs.')
    .meta({ reload: true }),
  maxQueued: whole(0, 1_000_000).default(1000).describe('How many requests may wait for a slot at the same time.'),
  maxQueuedPerClient: whole(1, 1_000_000)
    .default(300)
    .describe('How many requests of one client may wait for a slot at the same time.'),
  maxQueuedBytes: byteSize(1)
    .default(1024 * MB)
    .describe('What all waiting uploads together may weigh.'),
  pacing: z
    .enum(PACINGS, { error: `must be one of ${PACINGS.join(', ')}` })
    .default('auto')
    .describe('auto: in bursts while the allowance is free, then evenly; smooth: always evenly; burst: never evenly.'),
  perInterface: yesOrNo()
    .default(false)
    .describe('Whether uploads, downloads and thumbnails have an allowance each, instead of one together.'),
  appPerSecond: whole(0, 10_000)
    .default(0)
    .describe('What one app (App Key) may send in one window besides, as newer Easemob plans count; 0: not counted.'),
  fairBy: z
    .enum(CLIENTS_BY, { error: `must be one of ${CLIENTS_BY.join(', ')}` })
    .default('address')
    .describe('Who takes turns when requests must wait: client addresses, bearers of a token, or apps.')
    .meta({ reload: true }),
  weights: z
    .array(z.string({ error: weightError }).regex(/^[^=\s]{1,257}=(?:[1-9]\d?|100)$/, { error: weightError }), {
      error: 'must be a list of org/app=weight',
    })
    .max(10_000)
    .default(() => [])
    .describe('Apps that get more turns than others: org/app=weight; all others weigh 1.'),
  thumbnailsFirst: yesOrNo()
    .default(false)
    .describe('Whether thumbnails are served before originals, and these before uploads, instead of in turn.')
    .meta({ reload: true }),
  unprovenPercent: whole(1, 100)
    .default(20)
    .describe('What part of the slots tokens may get that Easemob has not accepted lately, while others wait.'),
  replicas: whole(1, 1000)
    .default(1)
    .describe('How many replicas to reckon with while Redis has not been reached since the start.'),
});

/** How many requests one client may make. */
export const clientLimitSchema = z.strictObject({
  requests: whole(1, 1_000_000).default(300).describe('How many requests one client may send on in that time.'),
  seconds: whole(1, 86_400).default(10).describe('The time, in seconds, over which those requests are counted.'),
  by: z
    .enum(CLIENTS_BY, { error: `must be one of ${CLIENTS_BY.join(', ')}` })
    .default('address')
    .describe('Who counts as one client: an address (an IPv6 /64), the bearer of a token, or an app.'),
  status: status(503, 429).describe(
    'The status of a refusal: 503 as Easemob documents it, or 429 as its newer plans answer.',
  ),
  localPerSecond: whole(1, 1_000_000)
    .default(300)
    .describe('How many requests a second of one address each replica serves from its cache, which are not counted.'),
});

/** How many logins one address may send on. */
export const loginLimitSchema = z.strictObject({
  requests: whole(1, 1_000_000).default(30).describe('How many logins one address may send on in that time.'),
  seconds: whole(1, 86_400).default(60).describe('The time, in seconds, over which those logins are counted.'),
});

/** The upstream's allowance and the line in front of it. */
export type QuotaConfig = z.output<typeof quotaSchema>;
/** The allowance of one client. */
export type ClientLimitConfig = z.output<typeof clientLimitSchema>;
