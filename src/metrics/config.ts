import { z } from 'zod';

const appError = 'must be org/app, like my-org/my-app';

/** What is counted beyond the gateway itself. */
export const metricsSchema = z.strictObject({
  apps: z
    .array(z.string({ error: appError }).regex(/^[^/\s*]{1,128}\/[^/\s*]{1,128}$/, { error: appError }), {
      error: 'must be a list of org/app',
    })
    .max(100, { error: 'must be no more than 100 apps' })
    .default(() => [])
    .describe('Apps whose requests and attempts are counted apart, as org/app; all others count as "other".'),
});

/** What is counted beyond the gateway itself. */
export type MetricsConfig = z.output<typeof metricsSchema>;
