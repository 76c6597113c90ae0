import { z } from 'zod';
import { byteSize, HTTP_URL, milliseconds, port, status, whole, yesOrNo } from '../quantity.ts';
import { listenAddress } from './listen-config.ts';
import { ranges } from './ranges.ts';

const MB = 1024 ** 2;

const operatorTokenError = 'must be 16 to 512 letters, digits or any of ._~+/=-';

/** Where the gateway tells about itself. */
export const adminSchema = z.strictObject({
  host: listenAddress()
    .default('127.0.0.1')
    .describe(
      'The address of the admin port (health, metrics). Health is shown there to everybody: never open it to the world.',
    ),
  port: port().default(9090).describe('The port for health and metrics; 0 lets the system choose one.'),
  token: z
    .string({ error: operatorTokenError })
    .regex(/^[A-Za-z0-9._~+/=-]{16,512}$/, { error: operatorTokenError })
    .optional()
    .describe("The operator's token, for what shows or changes more than health: the cache. Without it, nobody may.")
    .meta({ secret: true }),
  hosts: z
    .array(listenAddress(), { error: 'must be a list of host names' })
    .default(() => [])
    .describe('Names by which you reach this port, beside localhost and its address; others are refused.'),
});

/** How much, and how slowly, a client may send. */
export const limitsSchema = z.strictObject({
  fileBytes: byteSize(1)
    .default(10 * MB)
    .describe('The largest file that may be uploaded; Easemob itself takes 10MB unless your contract says more.'),
  formBytes: byteSize(1)
    .default(64 * 1024)
    .describe('What an upload may have beyond its file: boundaries, part headers, other form fields.'),
  siblingBytes: byteSize()
    .default(MB)
    .describe('The largest body of a request to one of the other paths that passthrough lists.'),
  loginBytes: byteSize()
    .default(64 * 1024)
    .describe('The largest body of a login, where passthrough lists token.'),
  headTimeoutMs: milliseconds().default(10_000).describe('How long a client may take to send the head of a request.'),
  bodyIdleMs: milliseconds().default(30_000).describe('How long an upload may stand still before it is given up.'),
  bodyTotalMs: milliseconds().default(300_000).describe('How long a whole upload may take.'),
  discardBytes: byteSize()
    .default(64 * MB)
    .describe('How much of a refused body is still read, so that the client sees the refusal and not a reset.'),
  discardMs: milliseconds(0)
    .default(15_000)
    .describe('How long a refused body is still read before the connection is closed.'),
  maxConnections: whole(1, 1_000_000)
    .default(10_000)
    .describe('How many client connections may be open at once; further ones are closed at once.'),
  keepAliveMs: milliseconds()
    .default(75_000)
    .describe(
      'How long an idle client connection stays open; keep it above the idle time of a load balancer in front.',
    ),
});

const proxyError =
  'must be a list of addresses or CIDR ranges, like 10.0.0.0/8, or one whole number from 0 to 32: how many proxies stand in front';

/** Whose word is taken for the address of the client. */
export const trustedProxiesSchema = z
  .union([whole(0, 32), ranges(proxyError)], {
    error: proxyError,
  })
  .default(() => [])
  .describe(
    'The proxies in front whose X-Forwarded-For is believed: addresses, CIDR ranges, or a number of proxies. Empty: nobody.',
  );

/** What clients are told beside the answer itself. */
export const tellSchema = z.strictObject({
  serverTiming: yesOrNo()
    .default(false)
    .describe('Whether answers tell how long they waited for a slot and for Easemob, in the field Server-Timing.'),
});

const DIALECTS = ['presence', 'value'] as const;

/** How newer Easemob clusters and SDKs differ from the documentation that is the default. */
export const compatSchema = z.strictObject({
  headerValues: z
    .enum(DIALECTS, { error: `must be one of ${DIALECTS.join(', ')}` })
    .default('presence')
    .describe('What asks for a thumbnail: the header thumbnail, whatever its value; or its value, false being a no.'),
  throttledStatus: status(503, 429).describe(
    'The status when Easemob throttles, or the line is too long: 503, or 429 with the word reach_limit.',
  ),
  unavailableStatus: status(502, 503).describe(
    'The status when Easemob cannot be reached: 502 or 504, or with 503 always that, which SDKs know.',
  ),
});

const corsError = "must be '*' or an origin like https://chat.example.com, without a path";

/** Which pages of other origins may read what the gateway answers. */
export const corsSchema = z.strictObject({
  origins: z
    .array(
      z
        .string({ error: corsError })
        .refine((text) => text === '*' || (URL.parse(text)?.origin === text && !text.includes('*')), {
          error: corsError,
        }),
      { error: `must be a list of origins like https://chat.example.com, or of '*' alone` },
    )
    .default(() => [])
    .describe("The origins of pages that may read answers; '*' for all. Empty: none."),
  maxAgeSeconds: whole(0, 86_400)
    .default(600)
    .describe('How long, in seconds, a browser may remember that, before it asks again.'),
});

/** The origin under which clients reach the gateway. */
export const publicUrlSchema = z
  .string({ error: originError() })
  .transform((text, context) => {
    const url = URL.parse(text);
    if (url && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/` && !/\s/.test(text)) return url.origin;
    context.addIssue({ code: 'custom', message: originError() });
    return z.NEVER;
  })
  .optional()
  .describe('The address under which clients reach the gateway, like https://files.example.com.')
  .meta(HTTP_URL);

/** The address of the admin port. */
export type AdminConfig = z.output<typeof adminSchema>;
/** The limits of what a client may send. */
export type LimitsConfig = z.output<typeof limitsSchema>;
/** Which dialect the upstream and the clients speak. */
export type CompatConfig = z.output<typeof compatSchema>;
/** What clients are told beside the answer itself. */
export type TellConfig = z.output<typeof tellSchema>;
/** Trusted addresses and ranges, or how many proxies stand in front. */
export type TrustedProxies = z.output<typeof trustedProxiesSchema>;

function originError(): string {
  return 'must be an http or https URL without a path, like https://files.example.com';
}
