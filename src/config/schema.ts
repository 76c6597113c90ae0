import { z } from 'zod';
import { accessSchema, secretsSchema } from '../access/config.ts';
import { auditSchema } from '../audit/config.ts';
import { cacheSchema } from '../cache/config.ts';
import { logSchema } from '../logger.ts';
import { metricsSchema } from '../metrics/config.ts';
import { contentSchema, destinationsSchema, enforceSchema, passthroughSchema, tokensSchema } from '../policy/config.ts';
import { milliseconds, port, yesOrNo } from '../quantity.ts';
import { clientLimitSchema, egressSchema, loginLimitSchema, quotaSchema } from '../quota/config.ts';
import { redisSchema } from '../redis/config.ts';
import { scanSchema } from '../scan/config.ts';
import {
  adminSchema,
  compatSchema,
  corsSchema,
  drainSchema,
  limitsSchema,
  publicUrlSchema,
  readinessSchema,
  tellSchema,
  trustedProxiesSchema,
} from '../server/config.ts';
import { tracingSchema } from '../tracing/config.ts';
import { listenSchema } from '../server/listen-config.ts';
import { retrySchema, spoolSchema, upstreamSchema } from '../upstream/config.ts';
import { redirectsSchema } from '../upstream/redirects.ts';

/** What a running gateway takes anew: said here of whole sections, in the rooms of single keys. */
const LIVE = { reload: true };

/** Every key there is: the rooms' schemas, put together in the order of config/default.yaml. */
export const configSchema = z.strictObject({
  listen: listenSchema.prefault({}),
  admin: adminSchema.prefault({}),
  readiness: readinessSchema.prefault({}),
  drain: drainSchema.meta(LIVE).prefault({}),
  upstream: upstreamSchema.prefault({}),
  redirects: redirectsSchema.meta(LIVE).prefault({}),
  limits: limitsSchema.meta(LIVE).prefault({}),
  spool: spoolSchema.prefault({}),
  tokens: tokensSchema.meta(LIVE).prefault({}),
  destinations: destinationsSchema.meta(LIVE),
  passthrough: passthroughSchema.meta(LIVE),
  content: contentSchema.meta(LIVE).prefault({}),
  scan: scanSchema.meta(LIVE).prefault({}),
  enforce: enforceSchema.meta(LIVE).prefault({}),
  audit: auditSchema.prefault({}),
  quota: quotaSchema.prefault({}),
  egress: egressSchema.prefault({}),
  retry: retrySchema.meta(LIVE).prefault({}),
  clientLimit: clientLimitSchema.meta(LIVE).prefault({}),
  loginLimit: loginLimitSchema.meta(LIVE).prefault({}),
  trustedProxies: trustedProxiesSchema.meta(LIVE),
  publicUrl: publicUrlSchema.meta(LIVE),
  cors: corsSchema.meta(LIVE).prefault({}),
  compat: compatSchema.meta(LIVE).prefault({}),
  tell: tellSchema.meta(LIVE).prefault({}),
  log: logSchema.prefault({}),
  metrics: metricsSchema.prefault({}),
  tracing: tracingSchema.prefault({}),
  redis: redisSchema.prefault({}),
  cache: cacheSchema.prefault({}),
  access: accessSchema.prefault({}),
  secrets: secretsSchema.prefault({}),
  reload: z
    .strictObject({
      watch: yesOrNo()
        .default(true)
        .describe('Take changes into use when a file of the configuration or a certificate changes, as on SIGHUP.'),
      everyMs: milliseconds(50)
        .default(1000)
        .describe('How often the files are looked at; one that has changed is read when it has stayed so for as long.'),
    })
    .prefault({}),
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
