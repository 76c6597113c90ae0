/**
 * What a client is told beside the answer itself: what is left of its own limit, how the upstream failed, and where the
 * time went. All are structured fields (RFC 9651). Nothing here names an address, or tells of what other clients do.
 */
import { type ErrorCode, type GatewayError, KINDS } from '../errors.ts';
import type { ClientVerdict } from '../quota/local-count.ts';
import type { Outcome, Trail } from '../upstream/send.ts';

/** The fields of a client's own limit (draft-ietf-httpapi-ratelimit-headers-11): the rule, and what is left of it. */
export const limitFields = ({ limit, remaining, resetMs }: ClientVerdict, seconds: number): Record<string, string> => ({
  'RateLimit-Policy': `"client";q=${limit};w=${seconds}`,
  RateLimit: `"client";r=${remaining};t=${Math.ceil(resetMs / 1000)}`,
});

/** What became of a request in the cache. `tier` of a hit; `forward`: why it went upstream, and what came of that. */
export type CacheNote =
  | { hit: 'memory' | 'disk' | 'grace' }
  | { fwd: 'uri-miss' | 'request' | 'bypass'; fwdStatus?: number; stored?: boolean; collapsed?: boolean };

/** The `Cache-Status` field (RFC 9211). A hit in grace is one that the upstream could not be asked about. */
export function cacheStatus(note: CacheNote): string {
  if ('hit' in note) return `chatfiles-gateway; hit; detail=${note.hit}`;
  return [
    `chatfiles-gateway; fwd=${note.fwd}`,
    ...(note.fwdStatus === undefined ? [] : [`fwd-status=${note.fwdStatus}`]),
    ...(note.stored === true ? ['stored'] : []),
    ...(note.collapsed === true ? ['collapsed'] : []),
  ].join('; ');
}

/** Where the time went, as a `Server-Timing` field (W3C): the scan, waiting for slots, and for the upstream. */
export const serverTiming = ({
  queuedMs,
  upstreamMs,
  scanMs,
}: Pick<Trail, 'queuedMs' | 'upstreamMs'> & { scanMs?: number | undefined }): string => {
  const scan = scanMs === undefined ? '' : `scan;dur=${tenths(scanMs)}, `;
  return `${scan}queue;dur=${tenths(queuedMs)}, upstream;dur=${tenths(upstreamMs)}`;
};

const tenths = (ms: number): number => Math.round(Math.max(0, ms) * 10) / 10;

/** What is known of an exchange whose upstream failed. */
export type Failed = {
  upstreamStatus?: number | undefined;
  failure?: Pick<Extract<Outcome, { kind: 'failure' }>, 'sent'> | undefined;
};

/** The `Proxy-Status` field (RFC 9209) of an error that is the upstream's fault; undefined for any other. */
export function proxyStatus({ code, cause }: Pick<GatewayError, 'code' | 'cause'>, failed: Failed): string | undefined {
  if (KINDS[code].source !== 'upstream') return undefined;
  const { upstreamStatus: status } = failed;
  // Where the upstream refused, its status says it all.
  const error = status !== undefined && status >= 300 ? undefined : ERROR_TYPES[code]?.(codeOf(cause), failed);
  return [
    'chatfiles-gateway',
    ...(error === undefined ? [] : [`error=${error}`]),
    ...(status === undefined ? [] : [`received-status=${status}`]),
  ].join('; ');
}

/** The types of errors (RFC 9209 section 2.3), by the code of what caused them and by how far the exchange had come. */
const ERROR_TYPES: Partial<Record<ErrorCode, (cause: string, failed: Failed) => string>> = {
  UPSTREAM_UNREACHABLE: (cause) =>
    CONNECT_ERRORS.find(([codes]) => codes.test(cause))?.[1] ?? 'destination_unavailable',
  UPSTREAM_TOO_LARGE: () => 'http_response_body_size',
  UPSTREAM_TIMEOUT: (_cause, { upstreamStatus, failure }) => {
    if (failure?.sent === 'nothing') return 'connection_timeout';
    if (failure?.sent === 'part') return 'connection_write_timeout';
    return upstreamStatus === undefined ? 'http_response_timeout' : 'connection_read_timeout';
  },
  UPSTREAM_BROKEN: (cause, { upstreamStatus }) => {
    if (cause === 'HPE_HEADER_OVERFLOW') return 'http_response_header_section_size';
    if (cause.startsWith('HPE_')) return 'http_protocol_error';
    return upstreamStatus === undefined ? 'connection_terminated' : 'http_response_incomplete';
  },
};

/** Why a connection could not be made, by the codes of the system, of its resolver and of TLS. */
const CONNECT_ERRORS: readonly (readonly [RegExp, string])[] = [
  [/^ECONNREFUSED$/, 'connection_refused'],
  [/^ETIMEDOUT$/, 'connection_timeout'],
  [/^(?:ENOTFOUND|EAI_|ENODATA$|ESERVFAIL$)/, 'dns_error'],
  [/^(?:EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/, 'destination_ip_unroutable'],
  [/^ERR_PROXY_AUTH$/, 'proxy_configuration_error'],
  [/^ERR_SSL_.*_ALERT_/, 'tls_alert_received'],
  [/CERT|^UNABLE_TO_|^HOSTNAME_MISMATCH$/, 'tls_certificate_error'],
  [/^(?:EPROTO$|ERR_SSL_|ERR_TLS_)/, 'tls_protocol_error'],
  [/^(?:ECONNRESET|EPIPE)$/, 'connection_terminated'],
];

const codeOf = (cause: unknown): string => {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' ? code : '';
};
