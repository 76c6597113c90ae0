import { z } from 'zod';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
const FORMATS = ['auto', 'json', 'pretty'] as const;

/** What is logged, and in which form. */
export const logSchema = z.strictObject({
  level: z
    .enum(LEVELS, { error: `must be one of ${LEVELS.join(', ')}` })
    .default('info')
    .describe('The least important level that is logged: trace, debug, info, warn, error, fatal, or silent for none.'),
  format: z
    .enum(FORMATS, { error: `must be one of ${FORMATS.join(', ')}` })
    .default('auto')
    .describe('json: one JSON object a line; pretty: for people; auto: pretty on a terminal, json elsewhere.'),
});

/** What is logged, and in which form. */
export type LogConfig = z.output<typeof logSchema>;
