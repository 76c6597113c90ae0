import { describe, expect, it } from 'vitest';
import { type ErrorCode, GatewayError, KINDS } from '../../src/errors.ts';
import { type Failed, limitFields, proxyStatus, serverTiming } from '../../src/server/told.ts';
import { readList } from '../kit/structured-fields.ts';

describe('what is left of a client’s own limit', () => {
  const verdict = { allowed: true, limit: 300, remaining: 12, resetMs: 3001 };

  it('is told in the fields of the IETF draft', () => {
    const fields = limitFields(verdict, 10);
    expect(fields).toEqual({ 'RateLimit-Policy': '"client";q=300;w=10', RateLimit: '"client";r=12;t=4' });
    expect(readList(fields['RateLimit-Policy'] ?? '')).toEqual([
      { value: 'client', kind: 'string', parameters: { q: 300, w: 10 } },
    ]);
    expect(readList(fields['RateLimit'] ?? '')).toEqual([
      { value: 'client', kind: 'string', parameters: { r: 12, t: 4 } },
    ]);
  });

  it.each([
    [0, 0],
    [1, 1],
    [1000, 1],
    [1000.5, 2],
    [86_400_000, 86_400],
  ])('%s ms are told as %s whole seconds, never too few', (resetMs, seconds) => {
    const [item] = readList(limitFields({ ...verdict, resetMs }, 10)['RateLimit'] ?? '');
    expect(item?.parameters['t']).toBe(seconds);
  });
});

describe('where the time went', () => {
  it.each([
    [{ queuedMs: 41.23, upstreamMs: 180 }, 41.2, 180],
    [{ queuedMs: 0, upstreamMs: 0.04 }, 0, 0],
    [{ queuedMs: 1e-7, upstreamMs: 123_456.789 }, 0, 123_456.8],
  ])('%o is told in tenths of milliseconds', (trail, queue, upstream) => {
    expect(readList(serverTiming(trail))).toEqual([
      { value: 'queue', kind: 'token', parameters: { dur: queue } },
      { value: 'upstream', kind: 'token', parameters: { dur: upstream } },
    ]);
  });

  it('begins with the scan, where there was one', () => {
    expect(serverTiming({ queuedMs: 1, upstreamMs: 2, scanMs: 3.456 })).toBe(
      'scan;dur=3.5, queue;dur=1, upstream;dur=2',
    );
  });
});

const failing = (code: string) => Object.assign(new Error(`connect ${code} 10.1.2.3:443`), { code });

describe('how the upstream failed', () => {
  it.each<[string, ErrorCode, string, Failed, object]>([
    ['a refused connection', 'UPSTREAM_UNREACHABLE', 'ECONNREFUSED', {}, { error: 'connection_refused' }],
    ['an unknown name', 'UPSTREAM_UNREACHABLE', 'ENOTFOUND', {}, { error: 'dns_error' }],
    ['a resolver that is away', 'UPSTREAM_UNREACHABLE', 'EAI_AGAIN', {}, { error: 'dns_error' }],
    ['a network that is away', 'UPSTREAM_UNREACHABLE', 'ENETUNREACH', {}, { error: 'destination_ip_unroutable' }],
    ['a system that gave up', 'UPSTREAM_UNREACHABLE', 'ETIMEDOUT', {}, { error: 'connection_timeout' }],
    [
      'a proxy on the way that wants other credentials',
      'UPSTREAM_UNREACHABLE',
      'ERR_PROXY_AUTH',
      {},
      { error: 'proxy_configuration_error' },
    ],
    [
      'a proxy on the way that refuses',
      'UPSTREAM_UNREACHABLE',
      'ERR_PROXY_REFUSED',
      {},
      { error: 'destination_unavailable' },
    ],
    [
      'our certificate, which was refused',
      'UPSTREAM_UNREACHABLE',
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
      {},
      { error: 'tls_alert_received' },
    ],
    ['an old certificate', 'UPSTREAM_UNREACHABLE', 'CERT_HAS_EXPIRED', {}, { error: 'tls_certificate_error' }],
    [
      'another name’s certificate',
      'UPSTREAM_UNREACHABLE',
      'ERR_TLS_CERT_ALTNAME_INVALID',
      {},
      { error: 'tls_certificate_error' },
    ],
    [
      'an unknown issuer',
      'UPSTREAM_UNREACHABLE',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      {},
      { error: 'tls_certificate_error' },
    ],
    ['no TLS at all', 'UPSTREAM_UNREACHABLE', 'EPROTO', {}, { error: 'tls_protocol_error' }],
    ['a reset while connecting', 'UPSTREAM_UNREACHABLE', 'ECONNRESET', {}, { error: 'connection_terminated' }],
    ['anything else', 'UPSTREAM_UNREACHABLE', 'EWHATEVER', {}, { error: 'destination_unavailable' }],
    [
      'no connection in time',
      'UPSTREAM_TIMEOUT',
      '',
      { failure: { sent: 'nothing' } },
      { error: 'connection_timeout' },
    ],
    [
      'a body that does not go',
      'UPSTREAM_TIMEOUT',
      '',
      { failure: { sent: 'part' } },
      { error: 'connection_write_timeout' },
    ],
    ['no answer in time', 'UPSTREAM_TIMEOUT', '', { failure: { sent: 'whole' } }, { error: 'http_response_timeout' }],
    [
      'an answer that stands still',
      'UPSTREAM_TIMEOUT',
      '',
      { upstreamStatus: 200 },
      { error: 'connection_read_timeout', 'received-status': 200 },
    ],
    ['a 504 of a hop before', 'UPSTREAM_TIMEOUT', '', { upstreamStatus: 504 }, { 'received-status': 504 }],
    ['a reset before the answer', 'UPSTREAM_BROKEN', 'ECONNRESET', {}, { error: 'connection_terminated' }],
    ['nonsense instead of an answer', 'UPSTREAM_BROKEN', 'HPE_INVALID_CONSTANT', {}, { error: 'http_protocol_error' }],
    ['too many fields', 'UPSTREAM_BROKEN', 'HPE_HEADER_OVERFLOW', {}, { error: 'http_response_header_section_size' }],
    [
      'half an answer',
      'UPSTREAM_BROKEN',
      'ECONNRESET',
      { upstreamStatus: 206 },
      { error: 'http_response_incomplete', 'received-status': 206 },
    ],
    ['a 500 without JSON', 'UPSTREAM_BROKEN', '', { upstreamStatus: 500 }, { 'received-status': 500 }],
    ['a throttled upstream', 'UPSTREAM_THROTTLED', '', { upstreamStatus: 503 }, { 'received-status': 503 }],
    ['a redirect', 'UPSTREAM_REDIRECT', '', { upstreamStatus: 302 }, { 'received-status': 302 }],
    ['a refusal without JSON', 'UPSTREAM_REFUSED', '', { upstreamStatus: 404 }, { 'received-status': 404 }],
    [
      'an answer over the limit',
      'UPSTREAM_TOO_LARGE',
      '',
      { upstreamStatus: 200 },
      { error: 'http_response_body_size', 'received-status': 200 },
    ],
  ])('is told of %s', (_what, code, cause, failed, parameters) => {
    const field = proxyStatus(new GatewayError(code, { cause: failing(cause), reason: 'to 10.1.2.3' }), failed) ?? '';
    expect(readList(field)).toEqual([{ value: 'chatfiles-gateway', kind: 'token', parameters }]);
    expect(field).not.toContain('10.1.2.3');
  });

  it('is told of every fault of the upstream, and of no other', () => {
    const told = Object.keys(KINDS).filter(
      (code) => proxyStatus(new GatewayError(code as ErrorCode), {}) !== undefined,
    );
    const theirs = Object.entries(KINDS).flatMap(([code, { source }]) => (source === 'upstream' ? [code] : []));
    expect(told).toEqual(theirs);
  });
});
