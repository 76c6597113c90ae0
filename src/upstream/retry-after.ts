import type { IncomingHttpHeaders } from 'node:http';

/** The time to come back that a Retry-After field names, in ms from `now` (RFC 9110 section 10.2.3); undefined for none. */
export function readRetryAfterMs(headers: IncomingHttpHeaders, now: number): number | undefined {
  const value = headers['retry-after'];
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
