import type { IncomingHttpHeaders } from 'node:http';
import type { Interface } from './record.ts';

/** A request target, taken apart. */
export type Target = {
  /** The path as it was sent, without the query. */
  path: string;
  segments: string[];
  query: URLSearchParams;
};

/** A target within one app: `/{org}/{app}/{collection}` and perhaps `/{id}`. */
export type AppTarget = { org: string; app: string; collection: string; id: string | undefined };

const ABSOLUTE_FORM = /^https?:\/\/[^/?]*/i;

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Takes a request target apart; one that cannot be decoded is left as it is, and will match nothing. */
export function parseTarget(sent: string): Target {
  const relative = sent.replace(ABSOLUTE_FORM, '');
  const mark = relative.indexOf('?');
  const path = mark === -1 ? relative : relative.slice(0, mark);
  const segments = path.split('/').slice(1).map(decode);
  if (segments.at(-1) === '') segments.pop();
  return { path, segments, query: new URLSearchParams(mark === -1 ? '' : relative.slice(mark + 1)) };
}

/** The target within an app, or undefined when it is none. */
export function appTargetOf({ segments }: Target): AppTarget | undefined {
  const [org, app, collection, id] = segments;
  if (!org || !app || !collection || segments.length > 4) return undefined;
  return { org, app, collection, id };
}

/** Whether a thumbnail is asked for, by header or by query. */
export function wantsThumbnail(
  headers: IncomingHttpHeaders,
  query: URLSearchParams,
  by: 'presence' | 'value',
): boolean {
  if (query.get('thumbnail') === 'true') return true;
  const header = headers['thumbnail'];
  return by === 'presence' ? header !== undefined : String(header).toLowerCase() === 'true';
}

/** Which interface a request is for, known from its head alone. */
export function interfaceOf(
  method: string,
  target: Target,
  headers: IncomingHttpHeaders,
  thumbnailBy: 'presence' | 'value',
): Interface {
  const within = appTargetOf(target);
  if (within === undefined) return 'other';
  const { collection, id } = within;
  if (method === 'POST' && id === undefined) {
    if (collection === 'chatfiles') return 'upload';
    if (collection === 'token' || collection === 'users') return collection;
  }
  if ((method === 'GET' || method === 'HEAD') && collection === 'chatfiles' && id !== undefined) {
    return wantsThumbnail(headers, target.query, thumbnailBy) ? 'thumbnail' : 'download';
  }
  return 'other';
}
