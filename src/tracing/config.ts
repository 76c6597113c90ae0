import { z } from 'zod';
import { yesOrNo } from '../quantity.ts';

const urlError = 'must be the address of an OTLP collector, like http://otel-collector:4318';
const ratioError = 'must be a number from 0 to 1';

/** Whether traces leave the house, and who records them. */
export const tracingSchema = z.strictObject({
  propagate: yesOrNo()
    .default(true)
    .describe(
      "Whether Easemob is sent the trace of each request (traceparent, tracestate), a client's own or a new one.",
    )
    .meta({ reload: true }),
  otlpUrl: z
    .string({ error: urlError })
    .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), { error: urlError })
    .refine((text) => !URL.canParse(text) || (new URL(text).username === '' && new URL(text).search === ''), {
      error:
        'must hold no user, password or query; what a collector wants to know goes into OTEL_EXPORTER_OTLP_HEADERS',
    })
    .optional()
    .describe(
      'Where spans are sent, by OTLP over HTTP (JSON); /v1/traces is added where there is no path. Without it, and ' +
        'without OTEL_EXPORTER_OTLP_ENDPOINT, none are made.',
    ),
  sampleRatio: z
    .number({ error: ratioError })
    .min(0, { error: ratioError })
    .max(1, { error: ratioError })
    .default(1)
    .describe('What part of the requests that come without a trace of their own is recorded, from 0 to 1.'),
});

/** Whether traces leave the house, and who records them. */
export type TracingConfig = z.output<typeof tracingSchema>;
