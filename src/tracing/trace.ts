/** A request's trace, as the rooms above see it: whether anybody records it or not. */
import { newSpanId, readTrace, type TraceFields, writeTraceparent } from './context.ts';

/** What is told of a piece of work: names of the field (OpenTelemetry), and never a secret, a query or a path. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A piece of work that is under way for a request: waiting in line, taking a body in, an attempt. */
export type Step = {
  /** The fields by which whoever is asked next goes on with the trace; none where nobody is. */
  readonly fields: Readonly<Record<string, string>>;
  /** Ends it; `error` is a word of a closed set. */
  end(attributes?: Attributes, error?: string): void;
};

/** What a trace is told of the request at its end. */
export type Ending = {
  method: string;
  route: string;
  status: number;
  error: string | undefined;
  source: string | undefined;
  app: string | undefined;
  client: string;
  cache: string | undefined;
  attempts: number;
  id: string;
  bytesIn: number;
  bytesOut: number;
};

/** One request in its trace. */
export type Trace = {
  readonly traceId: string;
  step(name: 'queue' | 'spool' | 'attempt', attributes?: Attributes): Step;
  end(ending: Ending): void;
};

/** Begins the trace of each request, or goes on with its sender's. Disposing sends what is still to be sent. */
export type Tracing = AsyncDisposable & { begin(headers: TraceFields, requestId: string): Trace };

/** Traces that nobody records here: what came is handed on, with a new span for each attempt. */
export function createPlainTracing(): Tracing {
  return {
    begin(headers, requestId) {
      const { traceId, isSampled, state } = readTrace(headers, requestId);
      return {
        traceId,
        step(name) {
          if (name !== 'attempt') return SILENT;
          return { fields: fieldsOf(writeTraceparent(traceId, newSpanId(), isSampled), state), end: noEnd };
        },
        end: noEnd,
      };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The two fields of a request that goes on with a trace. */
export const fieldsOf = (traceparent: string, tracestate: string | undefined): Record<string, string> =>
  tracestate === undefined ? { traceparent } : { traceparent, tracestate };

const noEnd = () => {};
const SILENT: Step = { fields: {}, end: noEnd };
