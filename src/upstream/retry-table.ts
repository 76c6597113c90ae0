/**
 * Which outcome may be tried again: the one table, asked after every attempt.
 *
 *  | outcome                                               | GET | POST                          | PUT, DELETE |
 *  |-------------------------------------------------------|-----|-------------------------------|-------------|
 *  | throttled: 503, or 429 `reach_limit`                  | yes | yes: refused before any work  | yes         |
 *  | plan exhausted: 429 `resource_limited`, other refusals| no  | no                            | no          |
 *  | 502 or 504 from a hop before Easemob                  | yes | no: it may have been stored   | no          |
 *  | a certificate or credentials that were not accepted   | no  | no: the next try would meet it| no          |
 *  | nothing sent (no connection)                          | yes | yes                           | yes         |
 *  | kept-alive socket reset before a byte of an answer    | yes | unless the whole body was out | no          |
 *  | fresh socket reset, timeout, broken answer            | yes | no: it may have been stored   | no          |
 *  | an answer begun                                       | no  | no                            | no          |
 *
 * PUT and DELETE are idempotent by the book. But between two tries somebody else may have changed what they change, and
 * whether the API keeps to the book is not known: once one may have arrived, its client decides.
 */
import type { OutboundRequest, Outcome } from './send.ts';

/** Whether an upstream refused for its rate limit alone, before it did any work (Easemob docs: 503; later also 429). */
export const isThrottled = (outcome: Outcome): boolean =>
  outcome.kind === 'refusal' && (outcome.status === 503 || (outcome.status === 429 && outcome.error === 'reach_limit'));

/**
 * Whether a 503 to this request tells anything of the rate that all share. To a path that is none of the files' it may
 * as well mean that this path does not work: it must neither cost twenty slots nor slow down everybody else.
 */
export const saysRate = ({ turn }: Pick<OutboundRequest, 'turn'>): boolean => turn.kind !== 'sibling';

/** Whether a request may be sent again after this outcome without any risk of its work being done twice. */
export function mayRetry({ method }: Pick<OutboundRequest, 'method'>, outcome: Outcome): boolean {
  const isIdempotent = method === 'GET';
  switch (outcome.kind) {
    case 'answer':
      return false;
    case 'refusal':
      return isThrottled(outcome) || (isIdempotent && (outcome.status === 502 || outcome.status === 504));
    case 'failure':
      if (outcome.isLasting === true) return false;
      if (isIdempotent || outcome.sent === 'nothing') return true;
      return method === 'POST' && outcome.cause === 'reset' && outcome.reused && outcome.sent !== 'whole';
  }
}
