import { type ErrorCode, type GatewayError, KINDS } from '../errors.ts';

/** How refusals are told to clients that are newer than the documentation. */
export type Dialect = { throttledStatus: number; unavailableStatus: number };

/** What a client is told: a status, and in the words of which kind. */
export type Spoken = { status: number; code: ErrorCode };

/** Refused for the rate alone, by whomever. */
const THROTTLED: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['QUEUE_FULL', 'UPSTREAM_THROTTLED']);

/** The status of an upstream that is not there, as clients are to see it; any other stays what it is. */
export const statusIn = (status: number, { unavailableStatus }: Dialect): number =>
  status === 502 || status === 504 ? (unavailableStatus === 503 ? 503 : status) : status;

/** How an error is told in a dialect. What is logged is the error itself. */
export function speak({ code, status }: Pick<GatewayError, 'code' | 'status'>, dialect: Dialect): Spoken {
  if (THROTTLED.has(code) && dialect.throttledStatus === 429) {
    return { status: KINDS.CLIENT_LIMITED_429.status, code: 'CLIENT_LIMITED_429' };
  }
  const told = statusIn(status, dialect);
  return told === status ? { status, code } : { status: told, code: 'UPSTREAM_THROTTLED' };
}
