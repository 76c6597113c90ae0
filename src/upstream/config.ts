import { z } from 'zod';
import { byteSize, HTTP_URL, milliseconds, whole, yesOrNo } from '../quantity.ts';
import { filePath, privateKeyKeys, tlsVersion } from '../pem.ts';

const KB = 1024;
const MB = KB ** 2;

const PROXY_FORM = 'must be a URL like http://proxy.internal:3128 or https://user:password@proxy.internal:3128';

/** Keys that say nothing without another one. */
const TOGETHER = [
  ['certFile', 'keyFile', ': a certificate is of no use without its key'],
  ['keyFile', 'certFile', ': a key is of no use without its certificate'],
  ['keyPassphrase', 'keyFile', ''],
  ['caOnly', 'caFile', ', or nobody would be trusted'],
] as const;

/** Easemob's side: where it is, and how long it may take. */
export const upstreamSchema = z
  .strictObject({
    url: z
      .string({ error: 'must be a URL like https://a1.easemob.com' })
      .transform(toOrigin)
      .optional()
      .describe('The address of your Easemob REST API, like https://a1.easemob.com. There is no default.')
      .meta(HTTP_URL),
    allowPlaintext: yesOrNo()
      .default(false)
      .describe('Allow an http: upstream that is not on this machine. Tokens and files then travel in the clear.'),
    connectTimeoutMs: milliseconds().default(5000).describe('How long connecting to the upstream may take.'),
    answerTimeoutMs: milliseconds()
      .default(30_000)
      .describe('How long the upstream may take from the last byte sent to the head of its answer.'),
    idleTimeoutMs: milliseconds()
      .default(30_000)
      .describe('How long a body may stand still on its way to or from the upstream.'),
    maxSockets: whole(1, 10_000).default(64).describe('How many connections to the upstream may be open at once.'),
    keepAliveMs: milliseconds()
      .default(4000)
      .describe("How long an idle upstream connection is kept; must stay below the upstream's own idle time."),
    dnsCacheMs: milliseconds(0)
      .default(30_000)
      .describe("How long the addresses behind the upstream's name are used before the resolver is asked again."),
    proxy: z
      .string({ error: PROXY_FORM })
      .superRefine((text, context) => {
        const problem = findProxyProblem(text);
        if (problem !== undefined) context.addIssue(problem);
      })
      .optional()
      .describe('The proxy through which the upstream is reached (by CONNECT), like http://proxy.internal:3128.')
      .meta({ secret: true, ...HTTP_URL }),
    proxyFromEnvironment: yesOrNo()
      .default(false)
      .describe('Obey the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.'),
    caFile: filePath()
      .optional()
      .describe('A file of certificate authorities (PEM) that are trusted beside the public ones.')
      .meta({ reload: true }),
    caOnly: yesOrNo()
      .default(false)
      .describe('Trust those of caFile alone, and none of the public ones.')
      .meta({ reload: true }),
    certFile: filePath()
      .optional()
      .describe('The certificate (PEM, with its chain) that is shown to an upstream that asks for one.')
      .meta({ reload: true }),
    ...privateKeyKeys(),
    minTlsVersion: tlsVersion('the upstream'),
  })
  .superRefine((upstream, context) => {
    for (const [key, other, why] of TOGETHER) {
      if (upstream[key] === undefined || upstream[key] === false || upstream[other] !== undefined) continue;
      context.addIssue({ code: 'custom', path: [key], message: `needs upstream.${other} beside it${why}` });
    }
    if (upstream.proxy !== undefined && upstream.proxyFromEnvironment) {
      const message = 'cannot be true while upstream.proxy is set; which of the two shall it be?';
      context.addIssue({ code: 'custom', path: ['proxyFromEnvironment'], message });
    }
  })
  .superRefine(({ url, allowPlaintext }, context) => {
    if (url === undefined || allowPlaintext || url.startsWith('https:') || isLoopback(new URL(url).hostname)) return;
    context.addIssue({
      code: 'custom',
      path: ['url'],
      message:
        'must be https: over plain http, tokens and files could be read on the way; ' +
        'set upstream.allowPlaintext to true if that is what you want',
    });
  });

/** Where uploads wait so that they can be sent a second time. */
export const spoolSchema = z.strictObject({
  dir: z
    .string({ error: 'must be the path of a folder' })
    .min(1, { error: 'must be the path of a folder' })
    .refine((dir) => !dir.includes('\0'), { error: 'must be the path of a folder' })
    .optional()
    .describe("The folder for uploads that are too large to wait in memory; without it, the system's temporary one."),
  memoryPerUploadBytes: byteSize()
    .default(512 * KB)
    .describe('What one upload may hold in memory; the rest of it waits on the disk.'),
  memoryBytes: byteSize()
    .default(32 * MB)
    .describe('What all uploads together may hold in memory; beyond it, they wait on the disk.'),
  siblingMemoryBytes: byteSize()
    .default(16 * MB)
    .describe('What all requests to the other paths of passthrough may hold in memory, logins too; never on the disk.'),
  diskBytes: byteSize()
    .default(2048 * MB)
    .describe('What all uploads together may hold on the disk; beyond it, uploads are answered with 503.'),
});

/** How often, and how patiently, a request is tried again. */
export const retrySchema = z.strictObject({
  attempts: whole(1, 20)
    .default(5)
    .describe('How often a request is sent at most, the first time included; 1: never again.'),
  throttledAttempts: whole(1, 100)
    .default(20)
    .describe('The same for a request that Easemob refuses for its rate alone; its time is bounded by budgetMs.'),
  budgetMs: milliseconds(0).default(20_000).describe('How long after the first attempt a further one may begin.'),
  maxRetryAfterMs: milliseconds(0)
    .default(5000)
    .describe('The longest Retry-After of the upstream that is waited out; a longer one is handed to the client.'),
});

/** The upstream's address and times; without `url` only next to the emulator. */
export type UpstreamConfig = z.output<typeof upstreamSchema>;
/** The folder and the budgets of waiting uploads. */
export type SpoolConfig = z.output<typeof spoolSchema>;
/** How often, and how patiently, a request is tried again. */
export type RetryConfig = z.output<typeof retrySchema>;

function toOrigin(text: string, context: z.RefinementCtx<string>): string {
  const complaint = complain(text, URL.parse(text));
  if (complaint === undefined) return new URL(text).origin;
  context.addIssue({ code: 'custom', message: complaint });
  return z.NEVER;
}

function complain(text: string, url: URL | null): string | undefined {
  if (!url || !/^https?:\/\/[^/]/i.test(text) || /[\s\\]/.test(text))
    return 'must be a URL like https://a1.easemob.com';
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or a password';
  if (url.pathname !== '/') return 'must not have a path; org and app come from the requests';
  if (/[?#]/.test(text)) return 'must not have a query or a fragment';
  return undefined;
}

/** What is wrong with a proxy's URL, in words that repeat nothing of it: any part of it may be a password that slipped. */
export function findProxyProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (!url || !/^https?:\/\/[^/]/i.test(text) || /[\s\\]/.test(text)) {
    return /^socks/i.test(text) ? 'must be an HTTP proxy (http: or https:), SOCKS is not spoken here' : PROXY_FORM;
  }
  if (url.pathname !== '/' || /[?#]/.test(text)) {
    return 'must end with the host and the port; in a user name or a password, / ? # @ and % are written as %2F %3F %23 %40 and %25';
  }
  try {
    decodeURIComponent(url.username + url.password);
  } catch {
    return 'has a % in its user name or password that encodes nothing; write it as %25';
  }
  return undefined;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
