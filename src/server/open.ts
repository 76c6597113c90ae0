import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import { enforce } from '../policy/decision.ts';
import { checkHead } from '../policy/head.ts';
import { checkQuery, readQuery } from '../policy/query.ts';
import { checkSecret } from '../policy/secret.ts';
import type { Sibling } from '../policy/passthrough.ts';
import type { Target } from '../policy/target.ts';
import { readingOf, siblingOf } from './edge.ts';

/** A request that can be read in one way only. */
export type Opened = { target: Target; query: Map<string, string[]> };

/** The first phase: what is asked for, provided that nothing in the head is ambiguous. */
export function open(req: IncomingMessage): Opened {
  const target = readingOf(req);
  if ('allowed' in target) throw new GatewayError(target.code, { reason: target.reason });
  const query = openHead(req, target.query);
  const secret = req.headers['share-secret'];
  enforce(checkSecret(typeof secret === 'string' ? secret : undefined, query.get('share-secret')?.[0]));
  return { target, query };
}

/** Which app a request is for, before anything of it is judged; undefined where that cannot be read. */
export function readApp(req: IncomingMessage): string | undefined {
  const target = siblingOf(req)?.app ?? readingOf(req);
  return 'org' in target ? `${target.org}/${target.app}` : undefined;
}

/** Which file it is for, likewise. */
export function readFile(req: IncomingMessage): string | undefined {
  const target = readingOf(req);
  return 'allowed' in target ? undefined : target.file;
}

/** The same for a path beside the files. */
export function openSibling(req: IncomingMessage): Sibling {
  const sibling = siblingOf(req);
  if (!sibling) throw new GatewayError('RESOURCE_UNKNOWN', { reason: 'the request is for no such path' });
  openHead(req, sibling.query);
  return sibling;
}

/** The same for whatever there is, where only that matters. */
export function openAny(req: IncomingMessage): void {
  if (siblingOf(req)) openSibling(req);
  else open(req);
}

/** The same where it does not matter whether anything is there, as long as it could be read. */
export function openPreflight(req: IncomingMessage): void {
  const reading = readingOf(req);
  if ('allowed' in reading && reading.code === 'RESOURCE_UNKNOWN') openHead(req, '');
  else openAny(req);
}

/** Judges the head alone, and reads the query. */
function openHead(req: IncomingMessage, raw: string): Opened['query'] {
  enforce(checkHead({ method: req.method ?? '', httpVersion: req.httpVersion, rawHeaders: req.rawHeaders }));
  const query = readQuery(raw);
  enforce(checkQuery(query));
  return query ?? new Map();
}
