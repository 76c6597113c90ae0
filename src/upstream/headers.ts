/**
 * Which fields go out and which come back.
 *
 * Both are lists of what is allowed, never of what is not: a hop-by-hop field or something new cannot travel by being
 * forgotten. Values travel as they came. What `Connection` says is ours, whatever the client said of its own connection:
 * a field of the API that a client names there travels all the same, or else the upstream would store a restricted
 * file open.
 */
import type { IncomingHttpHeaders } from 'node:http';

const USER_AGENT = 'chatfiles-gateway';

/** What every request may carry beside the token. */
const UPLOAD_FIELDS = ['restrict-access', 'thumbnail-width', 'thumbnail-height', 'content-type'];

/** What a request to a path beside the files may carry beside its token: the type of its body, and what SDKs say of parts. */
const SIBLING_FIELDS = [...UPLOAD_FIELDS, 'accept'];

const DOWNLOAD_FIELDS = [
  'share-secret',
  'thumbnail',
  'thumbnail-width',
  'thumbnail-height',
  'range',
  'if-range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
];

/** What comes back of an answer: never the upstream's cookies, CORS or hop-by-hop fields. */
const ANSWER_FIELDS = [
  'accept-ranges',
  'age',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
];

/** The fields of an upload as they go upstream; its answer has to be read here, so it is not to be compressed. */
export function uploadHeaders(incoming: IncomingHttpHeaders, token: string): Record<string, string> {
  return { ...pick(incoming, UPLOAD_FIELDS), accept: '*/*', 'accept-encoding': 'identity', ...common(token) };
}

/** The fields of a download as they go upstream: a file is always asked for as one, and never compressed; `token` may be empty. */
export function downloadHeaders(incoming: IncomingHttpHeaders, token: string): Record<string, string> {
  return {
    ...pick(incoming, DOWNLOAD_FIELDS),
    accept: 'application/octet-stream',
    'accept-encoding': 'identity',
    ...common(token),
  };
}

/** The fields of a request to a path beside the files, as they go upstream; a login may have no token. */
export function siblingHeaders(incoming: IncomingHttpHeaders, token: string | undefined): Record<string, string> {
  return {
    accept: '*/*',
    ...pick(incoming, SIBLING_FIELDS),
    'accept-encoding': 'identity',
    ...common(token ?? ''),
  };
}

/** The fields of a shared file's download as they go upstream. */
export const sharedFileHeaders = (incoming: IncomingHttpHeaders, token: string): Record<string, string> => ({
  ...downloadHeaders(incoming, token),
  ...pick(incoming, ['accept']),
});

/** The fields of an upstream's answer that a client gets. */
export const answerHeaders = (headers: IncomingHttpHeaders): Record<string, string> => pick(headers, ANSWER_FIELDS);

const common = (token: string): Record<string, string> => ({
  ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
  'user-agent': USER_AGENT,
  connection: 'keep-alive',
});

function pick(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') picked[name] = value;
  }
  return picked;
}
