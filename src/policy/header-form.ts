/**
 * What a query says that a header says too: web SDKs put the secret and the wish for a thumbnail into the addresses of
 * their tags, everybody else into headers.
 *
 * 1. `thumbnail=true` becomes the header, so that both ways of asking are one form of the file.
 * 2. `share-secret=…` becomes the header, which no hop on the way logs. Without a token it stays where it is: that is how
 *    the tags have always asked, and whether the upstream reads the header of somebody without a token is not known.
 * 3. `em-redirect` goes, in whatever spelling, where redirects are not handed on: the client could not follow them.
 * 4. All else stays, byte for byte and in its order; so does each of these if it is not spelled exactly so.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { readQuery } from './query.ts';

/** A download's question, with what can be said in headers said there. `secret`: the one that it names, in either place. */
export type HeaderForm = {
  fields: IncomingHttpHeaders;
  query: string;
  secret: string | undefined;
  /** Whether everybody reads the same secret in it: else nothing may be learnt from what becomes of it. */
  isClear: boolean;
};

/** Says in headers what a query says; it has passed the query policy, and header and query do not contradict each other. */
export function inHeaders(fields: IncomingHttpHeaders, query: string, keepsRedirect: boolean): HeaderForm {
  const own = fields['share-secret'];
  const inHeader = typeof own === 'string' ? own : undefined;
  if (query === '') return { fields, query, secret: inHeader, isClear: true };
  const hasToken = fields.authorization !== undefined;
  const moved: IncomingHttpHeaders = { ...fields };
  const kept: string[] = [];
  let secret = inHeader;
  let isClear = true;
  for (const pair of query.split('&')) {
    const parameters = readQuery(pair);
    const asked = parameters?.get('share-secret')?.[0];
    // Some readers split at semicolons too: what these find in such a pair, others do not.
    const isPlain = !pair.includes(';');
    if (asked !== undefined) {
      secret = asked;
      // In a query, a plus sign is a space to some readers.
      isClear = isPlain && pair.startsWith('share-secret=') && (hasToken || !pair.includes('+'));
      if (isClear && hasToken) moved['share-secret'] = asked;
      else kept.push(pair);
    } else if (pair === 'thumbnail=true' && (fields['thumbnail'] ?? 'true') === 'true') moved['thumbnail'] = 'true';
    else if (keepsRedirect || !isPlain || !parameters?.has('em-redirect')) kept.push(pair);
  }
  return { fields: moved, query: kept.join('&'), secret, isClear };
}
