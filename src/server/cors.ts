/**
 * What pages of other origins may read (Fetch standard, CORS protocol). The gateway answers preflights itself: they bear
 * no token, cost nothing upstream and count against nothing.
 */
import cors from 'cors';
import type { Request, RequestHandler, Response } from 'express';
import { GatewayError } from '../errors.ts';
import { openPreflight } from './open.ts';
import type { Handler } from './serve.ts';

/** The origins whose pages may read answers, and for how long a browser may remember that. */
export type CorsConfig = { origins: readonly string[]; maxAgeSeconds: number };

/** What web SDKs send, what the API knows, and what pages send whose requests are traced. */
const ALLOWED_FIELDS = [
  'Accept',
  'Authorization',
  'Content-Type',
  'If-Modified-Since',
  'If-None-Match',
  'If-Range',
  'Range',
  'restrict-access',
  'share-secret',
  'thumbnail',
  'thumbnail-height',
  'thumbnail-width',
  'traceparent',
  'tracestate',
  'X-Requested-With',
];

/** What a page may read beyond what every page may. */
const EXPOSED_FIELDS = [
  'Accept-Ranges',
  'Age',
  'Cache-Status',
  'Content-Length',
  'Content-Range',
  'ETag',
  'Proxy-Status',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'Server-Timing',
  'X-Request-Id',
];

/** Both halves: the fields on every answer, errors too, and the answer to a preflight. */
export type Cors = { fields: RequestHandler; preflight: Handler };

/** Opens the gateway's pages to these origins; undefined when there are none. */
export function createCors({ origins, maxAgeSeconds }: CorsConfig): Cors | undefined {
  if (origins.length === 0) return undefined;
  const answer = cors({
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
    allowedHeaders: ALLOWED_FIELDS,
    exposedHeaders: EXPOSED_FIELDS,
    maxAge: maxAgeSeconds,
    optionsSuccessStatus: 204,
  });
  return {
    fields: (req, res, next) => (req.method === 'OPTIONS' ? next() : answer(req, res, next)),
    preflight(req: Request, res: Response, exchange) {
      exchange.route = 'preflight';
      // Also where nothing is let through: a page is to read the refusal that its request itself will get.
      openPreflight(req);
      if (req.headers['access-control-request-method'] === undefined) {
        exchange.allow = 'GET, HEAD, POST';
        throw new GatewayError('METHOD_NOT_ALLOWED', { reason: 'OPTIONS that is no preflight' });
      }
      return new Promise((resolve, reject) => {
        res.once('close', resolve);
        answer(req, res, (error?: unknown) => reject(error ?? new GatewayError('METHOD_NOT_ALLOWED')));
      });
    },
  };
}
