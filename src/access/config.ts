import { z } from 'zod';
import { whole } from '../quantity.ts';

/** How long the upstream's word about who may see what is believed. */
export const accessSchema = z.strictObject({
  grantSeconds: whole(0, 86_400)
    .default(300)
    .describe("How long, in seconds, Easemob's leave to see a file holds for the same token without asking again."),
});

/** How long the upstream's word is believed. */
export type AccessConfig = z.output<typeof accessSchema>;
