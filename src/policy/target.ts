/**
 * What a request is for: one strict pattern on the raw request target.
 *
 * What goes upstream is rebuilt from the parts matched here, so that the path which policies judge and the path which
 * Easemob reads can never differ. There is no decoding: a percent sign in the path is not a file's address.
 */
import { type Denial, deny } from './decision.ts';

/** The parts of an accepted target; `file` is absent for the upload address, `query` has no question mark. */
export type Target = { org: string; app: string; file: string | undefined; query: string };

/** A name segment: letters, digits and the marks that need no encoding; never a dot segment. */
export const NAME = String.raw`(?!\.{1,2}/)[A-Za-z0-9._~-]{1,128}`;
/** Absolute form must be understood (RFC 9112 section 3.2.2); its authority decides nothing here. */
export const ORIGIN = String.raw`(?:[Hh][Tt][Tt][Pp][Ss]?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?)?`;
const PATH = new RegExp(String.raw`^${ORIGIN}/(${NAME})/(${NAME})/chatfiles(?:/([A-Za-z0-9_-]{1,64}))?$`);
const FILE = /^[A-Za-z0-9_-]{1,64}$/;
/** What a query may be made of: none of it needs an encoding. */
export const QUERY = /^[\x21\x22\x24-\x7e]*$/;

// Easemob's probe for known content has the shape of a file's address but names no file.
const NOT_FILES = new Set(['exists']);

/** Reads a raw request target, or says why it names nothing that is served here. */
export function readTarget(raw: string): Target | Denial {
  const mark = raw.indexOf('?');
  const path = mark === -1 ? raw : raw.slice(0, mark);
  const query = mark === -1 ? '' : raw.slice(mark + 1);
  const parts = PATH.exec(path);
  if (!parts) return deny('RESOURCE_UNKNOWN', 'the path is not served here');
  if (!QUERY.test(query)) return deny('REQUEST_MALFORMED', 'the query has characters that must be encoded');
  const [, org = '', app = '', file] = parts;
  if (file !== undefined && NOT_FILES.has(file.toLowerCase()))
    return deny('RESOURCE_UNKNOWN', 'the path is not a file');
  return { org, app, file, query };
}

/** Whether this may be the name of a file: what the upstream calls one goes into paths and keys, too. */
export const isFileName = (text: string): boolean => FILE.test(text) && !NOT_FILES.has(text.toLowerCase());

/** The address of a target at the upstream: its path rebuilt, its query byte for byte. */
export function upstreamPath({ org, app, file, query }: Target): string {
  const path = `/${org}/${app}/chatfiles${file === undefined ? '' : `/${file}`}`;
  return query === '' ? path : `${path}?${query}`;
}
