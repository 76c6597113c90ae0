import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import { enforce } from '../policy/decision.ts';
import { checkHead } from '../policy/head.ts';
import { checkQuery, readQuery } from '../policy/query.ts';
import { checkSecret } from '../policy/secret.ts';
import type { Target } from '../policy/target.ts';
import { readingOf } from './edge.ts';

/** A request that can be read in one way only. */
export type Opened = { target: Target; query: Map<string, string[]> };

/** The first phase: what is asked for, provided that nothing in the head is ambiguous. */
export function open(req: IncomingMessage): Opened {
  const target = readingOf(req);
  if ('allowed' in target) throw new GatewayError(target.code, { reason: target.reason });
  enforce(checkHead({ method: req.method ?? '', httpVersion: req.httpVersion, rawHeaders: req.rawHeaders }));
  const query = readQuery(target.query);
  enforce(checkQuery(query));
  const secret = req.headers['share-secret'];
  enforce(checkSecret(typeof secret === 'string' ? secret : undefined, query?.get('share-secret')?.[0]));
  return { target, query: query ?? new Map() };
}
