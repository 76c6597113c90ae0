import { z } from 'zod';
import { accessSchema, secretsSchema } from '../access/config.ts';
import { cacheSchema } from '../cache/config.ts';
import { logSchema } from '../logger.ts';
import { destinationsSchema, passthroughSchema, tokensSchema } from '../policy/config.ts';
import { port } from '../quantity.ts';
import { clientLimitSchema, egressSchema, loginLimitSchema, quotaSchema } from '../quota/config.ts';
import { redisSchema } from '../redis/config.ts';
import {
  adminSchema,
  compatSchema,
  corsSchema,
  limitsSchema,
  listenSchema,
  publicUrlSchema,
  tellSchema,
  trustedProxiesSchema,
} from '../server/config.ts';
import { retrySchema, spoolSchema, upstreamSchema } from '../upstream/config.ts';
import { redirectsSchema } from '../upstream/redirects.ts';

/** Every key there is: the rooms' schemas, put together. */
export const configSchema = z.strictObject({
  listen: listenSchema.prefault({}),
  admin: adminSchema.prefault({}),
  upstream: upstreamSchema.prefault({}),
  redirects: redirectsSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  spool: spoolSchema.prefault({}),
  tokens: tokensSchema.prefault({}),
  destinations: destinationsSchema,
  passthrough: passthroughSchema,
  egress: egressSchema.prefault({}),
  quota: quotaSchema.prefault({}),
  retry: retrySchema.prefault({}),
  clientLimit: clientLimitSchema.prefault({}),
  loginLimit: loginLimitSchema.prefault({}),
  trustedProxies: trustedProxiesSchema,
  tell: tellSchema.prefault({}),
  log: logSchema.prefault({}),
  publicUrl: publicUrlSchema,
  cors: corsSchema.prefault({}),
  compat: compatSchema.prefault({}),
  redis: redisSchema.prefault({}),
  cache: cacheSchema.prefault({}),
  access: accessSchema.prefault({}),
  secrets: secretsSchema.prefault({}),
  emulator: z
    .strictObject({
      port: port()
        .default(8090)
        .describe('The port of the Easemob emulator that `start --emulator` runs; on this machine only.'),
      adminPort: port().default(8091).describe("The port of the emulator's controls; on this machine only."),
    })
    .prefault({}),
});

/** The whole configuration, checked and complete. */
export type Config = z.output<typeof configSchema>;
