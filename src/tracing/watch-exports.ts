import type { SpanExporter } from '@opentelemetry/sdk-trace';
import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';

const WARN_EVERY_MS = 60_000;

/** An exporter that tells the operator when the collector takes no spans, at most once a minute, and when it does again. */
export function watchExports(
  exporter: SpanExporter,
  { place, clock, notice }: { place: string; clock: Clock; notice: Notice },
): SpanExporter {
  let warnedAt = -Infinity;
  let isFailing = false;
  let lost = 0;
  const failed = (spans: number, reason: string) => {
    isFailing = true;
    lost += spans;
    if (clock.monotonic() - warnedAt < WARN_EVERY_MS) return;
    warnedAt = clock.monotonic();
    const text = 'the collector of traces (tracing.otlpUrl) takes no spans: they are dropped, requests go on';
    notice('warn', text, { collector: place, lost, reason });
  };
  const worked = () => {
    if (!isFailing) return;
    isFailing = false;
    notice('info', 'the collector of traces takes spans again', { collector: place, lost });
    lost = 0;
  };
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const code: number = result.code;
        if (code === SUCCESS) worked();
        else failed(spans.length, reasonOf(result.error));
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    shutdown: () => exporter.shutdown(),
  };
}

/** ExportResultCode.SUCCESS of @opentelemetry/core, which is no dependency of ours. */
const SUCCESS = 0;

/** An error's words, or those of what it was made of: several refused addresses have none of their own. */
function reasonOf(error: Error | undefined): string {
  if (error === undefined) return 'unknown';
  if (error.message !== '') return error.message;
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
