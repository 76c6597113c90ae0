import { z } from 'zod';
import { milliseconds, whole, yesOrNo } from '../quantity.ts';

const addressError = 'must be tcp://host:3310 or unix:/path/to/clamd.ctl';

/** Where clamd listens: a socket's path, or a host and a port. */
export type ClamdAddress = { path: string } | { host: string; port: number };

/** Reads clamd's address; undefined when it is none. */
export function readAddress(text: string): ClamdAddress | undefined {
  const path = /^unix:(?:\/\/)?(\/[^\0]{1,107})$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  const [, host, port] = /^tcp:\/\/(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5})\/?$/.exec(text) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
  return { host: host.replaceAll(/[[\]]/g, ''), port: Number(port) };
}

/** Whether a virus scanner looks at uploads before they leave. */
export const scanSchema = z.strictObject({
  clamd: z
    .string({ error: addressError })
    .refine((text) => readAddress(text) !== undefined, { error: addressError })
    .optional()
    .describe('The ClamAV daemon that looks at each upload before it leaves, as tcp://host:3310 or unix:/path.'),
  failOpen: yesOrNo()
    .default(false)
    .describe('Whether uploads go on (true) or are answered with 503 (false) while clamd cannot be asked.'),
  connectTimeoutMs: milliseconds().default(2000).describe('How long connecting to clamd may take.'),
  timeoutMs: milliseconds()
    .default(30_000)
    .describe('How long clamd may take for one file, the wait for its turn included.'),
  maxAtOnce: whole(1, 1000)
    .default(8)
    .describe('How many files clamd looks at at once; stay below its own MaxThreads.'),
});

/** Whether a virus scanner looks at uploads before they leave. */
export type ScanConfig = z.output<typeof scanSchema>;
