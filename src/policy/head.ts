/**
 * Whether a request's head can be read in one way only.
 *
 * Node's parser refuses the classic smuggling tricks; what it lets through and another reader would understand
 * differently is refused here, before anybody looks at the request's meaning.
 */
import { allow, type Decision, deny } from './decision.ts';

/** The parts of a head that are judged; `rawHeaders` is name, value, name, value… as received. */
export type Head = { method: string; httpVersion: string; rawHeaders: readonly string[] };

/** More fields than any client sends; above that a request is refused with 431. */
const MAX_FIELDS = 100;

/** Fields that hold one value. Node keeps the first of some, joins others: an upstream may choose differently. */
const SINGLE = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'range',
  'restrict-access',
  'share-secret',
  'thumbnail',
  'thumbnail-height',
  'thumbnail-width',
  'transfer-encoding',
]);

// A name, an IPv4 or a bracketed IPv6 address, and a port (RFC 9110 section 7.2, without the rarities).
const HOST = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?$/;
const MAX_PORT = 65_535;

/** Judges what decides where this request ends and the next begins; after a "no" nothing else on the connection is believed. */
export function checkFraming({ httpVersion, rawHeaders }: Omit<Head, 'method'>): Decision {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return deny('VERSION_UNSUPPORTED', 'the HTTP version is neither 1.0 nor 1.1');
  }
  const codings = valuesOf(rawHeaders, 'transfer-encoding');
  if (codings.length === 0) return allow;
  // RFC 9112 section 6.1: an HTTP/1.0 message with a transfer coding has faulty framing.
  if (httpVersion === '1.0') return deny('REQUEST_MALFORMED', 'HTTP/1.0 with Transfer-Encoding');
  if (codings.length > 1) return deny('FIELD_REPEATED', 'transfer-encoding is repeated');
  if (codings[0]?.toLowerCase() !== 'chunked') return deny('CODING_UNKNOWN', 'a transfer coding other than chunked');
  if (valuesOf(rawHeaders, 'content-length').length > 0) {
    return deny('REQUEST_MALFORMED', 'Content-Length and Transfer-Encoding together');
  }
  return allow;
}

/** Judges the fields that every request has to get right. */
export function checkHead({ method, httpVersion, rawHeaders }: Head): Decision {
  if (rawHeaders.length / 2 > MAX_FIELDS) return deny('HEAD_TOO_LARGE', `more than ${MAX_FIELDS} header fields`);
  const hosts = valuesOf(rawHeaders, 'host');
  if (hosts.length > 1 || (hosts.length === 0 && httpVersion === '1.1'))
    return deny('HOST_INVALID', 'not one Host header');
  if (hosts[0] !== undefined && !isHost(hosts[0])) return deny('HOST_INVALID', 'the Host header is malformed');

  const seen = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? '';
    if (SINGLE.has(name) && seen.has(name)) return deny('FIELD_REPEATED', `${name} is repeated`);
    seen.add(name);
  }
  if (method === 'GET' || method === 'HEAD') {
    const length = valuesOf(rawHeaders, 'content-length')[0] ?? '0';
    if (length !== '0' || seen.has('transfer-encoding')) return deny('BODY_UNEXPECTED', 'a body with GET or HEAD');
  }
  const expectation = valuesOf(rawHeaders, 'expect')[0];
  if (expectation !== undefined && expectation.toLowerCase() !== '100-continue') {
    return deny('EXPECTATION_FAILED', 'an expectation other than 100-continue');
  }
  return allow;
}

/** Whether this may be the value of a Host field. */
export function isHost(value: string): boolean {
  const match = HOST.exec(value);
  return match !== null && Number(match[1] ?? 0) <= MAX_PORT;
}

function valuesOf(rawHeaders: readonly string[], wanted: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === wanted) values.push(rawHeaders[i + 1] ?? '');
  }
  return values;
}
