/**
 * The collector that the variables of OpenTelemetry name: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and
 * OTEL_EXPORTER_OTLP_ENDPOINT, unless OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER say that there is none.
 */
import type { Place, Problem } from './problems.ts';
import type { Config } from './schema.ts';
import type { Env } from './sources.ts';

const OWN = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT';
const COMMON = 'OTEL_EXPORTER_OTLP_ENDPOINT';

/** What was found: where the collector's address stands, what is wrong with it, and what its operator should know. */
export type Obeyed = { place?: Place; problems: Problem[]; warnings: string[] };

/** Sets `tracing.otlpUrl` from the environment where nothing else does. */
export function obeyTracing({ tracing }: Config, env: Env): Obeyed {
  const nothing: Obeyed = { problems: [], warnings: [] };
  const name = env[OWN] ? OWN : COMMON;
  const text = env[name] ?? '';
  if (tracing.otlpUrl !== undefined || text === '') return nothing;
  const isOff = env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true';
  const exporter = env['OTEL_TRACES_EXPORTER'] ?? '';
  if (isOff || (exporter !== '' && exporter !== 'otlp')) return nothing;
  const protocol = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] ?? env['OTEL_EXPORTER_OTLP_PROTOCOL'] ?? '';
  if (protocol === 'grpc') {
    const warning =
      `${name} is not used, since OTEL_EXPORTER_OTLP_PROTOCOL asks for grpc: traces are sent by HTTP alone; ` +
      'set tracing.otlpUrl to the port on which the collector takes HTTP, usually 4318';
    return { problems: [], warnings: [warning] };
  }
  const place: Place = { text: name, source: 'environment', order: 0 };
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') {
    const message =
      'must be the address of an OTLP collector, like http://otel-collector:4318, without a user or a query ' +
      '(tracing.otlpUrl is taken from it; OTEL_TRACES_EXPORTER=none forbids that)';
    return { problems: [{ place, path: '', message }], warnings: [] };
  }
  // The common one is a base, below which each kind of signal has its path.
  if (name === COMMON) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`;
  tracing.otlpUrl = url.href;
  return { place, problems: [], warnings: [] };
}
