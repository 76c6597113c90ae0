/**
 * Traces that are recorded: OpenTelemetry's SDK, and spans sent by OTLP over HTTP.
 *
 * The one file that loads OpenTelemetry, and it is itself loaded only where a collector is configured. Nothing is made
 * global: each step is told its parent, so two gateways in one process do not see each other's spans.
 */
import {
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';
import { newSpanId, readTrace, writeTraceparent } from './context.ts';
import { type Attributes, type Ending, fieldsOf, type Step, type Trace, type Tracing } from './trace.ts';
import { watchExports } from './watch-exports.ts';

/** Where spans go, what part of the traces that begin here is recorded, and what the gateway calls itself. */
export type OtelOptions = { otlpUrl: string; sampleRatio: number; version: string; instance: string };

/** What waits for the collector: more is dropped, since a collector that is away must not fill the memory. */
const QUEUE = { maxQueueSize: 4096, maxExportBatchSize: 512, scheduledDelayMillis: 2000, exportTimeoutMillis: 10_000 };
/** How long an end waits for the last spans to be taken. */
const FLUSH_WITHIN_MS = 3000;

/** Opens the recording of traces. */
export function createOtelTracing(options: OtelOptions, { clock, notice }: { clock: Clock; notice: Notice }): Tracing {
  const { otlpUrl, sampleRatio, version, instance } = options;
  const url = tracesUrl(otlpUrl);
  const exporter: SpanExporter = new OTLPTraceExporter({ url, timeoutMillis: QUEUE.exportTimeoutMillis });
  const own = resourceFromAttributes({
    'service.name': 'chatfiles-gateway',
    'service.version': version,
    'service.instance.id': instance,
  });
  // What a trace is called here is decided before its first span is made.
  let traceId = '';
  const provider = new TracerProvider({
    resource: own.merge(detectResources({ detectors: [envDetector] })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    idGenerator: { generateTraceId: () => traceId, generateSpanId: newSpanId },
    spanLimits: { attributeValueLengthLimit: 256 },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: watchExports(exporter, { place: new URL(url).host, clock, notice }),
        ...QUEUE,
      }),
    ],
  });
  const tracer = provider.getTracer('chatfiles-gateway', version);

  return {
    begin(headers, requestId) {
      const came = readTrace(headers, requestId);
      traceId = came.traceId;
      const span = tracer.startSpan('request', { kind: SpanKind.SERVER }, contextOf(came));
      const context = trace.setSpan(ROOT_CONTEXT, span);
      return {
        traceId,
        step: (name, attributes) => begin(name, attributes),
        end: (ending) => endRequest(span, ending),
      } satisfies Trace;

      function begin(name: string, attributes: Attributes = {}): Step {
        const isAttempt = name === 'attempt';
        // As the conventions have it: the method alone, where the path may not be told.
        const called = isAttempt ? String(attributes['http.request.method'] ?? name) : name;
        const kind = isAttempt ? SpanKind.CLIENT : SpanKind.INTERNAL;
        const step = tracer.startSpan(called, { kind, attributes: defined(attributes) }, context);
        const { spanId, traceFlags } = step.spanContext();
        const isSampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
        return {
          fields: isAttempt ? fieldsOf(writeTraceparent(came.traceId, spanId, isSampled), came.state) : {},
          end: (more, error) => end(step, more, error),
        };
      }
    },
    async [Symbol.asyncDispose]() {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const cancel = clock.after(FLUSH_WITHIN_MS, resolve);
      // A collector that is away was warned of already.
      await Promise.race([provider.shutdown().catch(() => {}), late]);
      cancel();
    },
  };
}

/** The address that spans are posted to; a bare host gets the path that collectors listen on. */
function tracesUrl(otlpUrl: string): string {
  const url = new URL(otlpUrl);
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url.href;
}

/** The parent that a request came with, if it came with any. */
function contextOf({ traceId, parentId, isSampled, state }: ReturnType<typeof readTrace>): Context {
  if (parentId === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId: parentId,
    traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(state === undefined ? {} : { traceState: createTraceState(state) }),
  });
}

function endRequest(span: Span, ending: Ending): void {
  if (!span.isRecording()) return;
  const { method, route, status, error, source, app, client, cache, attempts, id, bytesIn, bytesOut } = ending;
  span.updateName(`${method} ${route}`);
  const attributes = {
    'http.request.method': method,
    'http.route': route,
    'http.response.status_code': status,
    'http.request.body.size': bytesIn,
    'http.response.body.size': bytesOut,
    'client.address': client,
    'chatfiles.request_id': id,
    'chatfiles.app': app,
    'chatfiles.cache': cache,
    'chatfiles.attempts': attempts,
  };
  // What its client got wrong is no error of a server's span.
  if (error !== undefined && source !== 'downstream') end(span, attributes, error);
  else end(span, { ...attributes, 'error.type': error });
}

function end(span: Span, attributes: Attributes = {}, error?: string): void {
  if (!span.isRecording()) return;
  span.setAttributes(defined(attributes));
  if (error !== undefined) {
    span.setAttribute('error.type', error);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

const defined = (attributes: Attributes): Record<string, string | number | boolean> =>
  Object.fromEntries(
    Object.entries(attributes).filter((each): each is [string, string | number | boolean] => each[1] !== undefined),
  );
