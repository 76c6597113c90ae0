import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Answer } from './exchange.ts';

/** The headers that let a page of any origin read the answer: the origin is echoed, as Usergrid does. */
export function corsHeaders({ origin }: IncomingHttpHeaders): OutgoingHttpHeaders {
  if (origin === undefined) return {};
  return { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', vary: 'Origin' };
}

/** The answer to a preflight, which needs no token: whatever is asked for is allowed. */
export const preflightAnswer = (headers: IncomingHttpHeaders): Answer => ({
  status: 200,
  headers: {
    'access-control-allow-methods': headers['access-control-request-method'] ?? 'GET, HEAD, POST, PUT, DELETE, OPTIONS',
    'access-control-allow-headers': headers['access-control-request-headers'] ?? 'authorization, content-type',
  },
  body: Buffer.alloc(0),
});
