/**
 * What a query may say. It goes upstream byte for byte, so nothing in it may be read one way here and another there.
 */
import { allow, type Decision, deny } from './decision.ts';

/** The parameters that the API and its client SDKs use; each means one thing, so each may be given once. */
const KNOWN = new Set([
  'share-secret',
  'restrict-access',
  'thumbnail',
  'thumbnail-width',
  'thumbnail-height',
  'vframe',
  'size',
  'em-redirect',
  'chat-type',
  'chat-target',
  'md5',
  'imagetype',
  'width',
  'height',
]);

/**
 * The upstream (a Usergrid) believes `access_token` before the Authorization header, and answers `callback` with
 * 200 JavaScript even when it refuses: each would make us believe an answer that was given to somebody else.
 */
const REFUSED = new Set(['access_token', 'callback']);

/** The parameters of a query, decoded, by lower-case name; undefined when a name or value cannot be decoded. */
export function readQuery(query: string): Map<string, string[]> | undefined {
  const parameters = new Map<string, string[]>();
  if (query === '') return parameters;
  // Some readers split at semicolons too: what either of them could find is looked at.
  for (const pair of query.split(/[&;]/)) {
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))?.toLowerCase();
    const value = decode(equals === -1 ? '' : pair.slice(equals + 1));
    if (name === undefined || value === undefined) return undefined;
    const values = parameters.get(name);
    if (values) values.push(value);
    else parameters.set(name, [value]);
  }
  return parameters;
}

/** Whether a query may go upstream. */
export function checkQuery(parameters: Map<string, string[]> | undefined): Decision {
  if (!parameters) return deny('REQUEST_MALFORMED', 'the query has a broken percent-encoding');
  for (const [name, values] of parameters) {
    if (REFUSED.has(name)) return deny('QUERY_REFUSED', `the query parameter ${name} is refused`);
    if (KNOWN.has(name) && values.length > 1) return deny('QUERY_REPEATED', `the query parameter ${name} is repeated`);
  }
  return allow;
}

function decode(text: string): string | undefined {
  try {
    // A plus sign stays one: secrets are opaque, and clients that mean a space write %20.
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
