import type { IncomingHttpHeaders } from 'node:http';

/** What a file's version is compared by. */
export type Validators = { etag: string; lastModifiedMs: number };

const opaque = (tag: string): string => tag.trim().replace(/^W\//, '');

const lists = (header: string, etag: string, weakly: boolean): boolean =>
  header.trim() === '*' ||
  header.split(',').some((tag) => (weakly || !tag.trim().startsWith('W/')) && opaque(tag) === etag);

const seconds = (ms: number): number => Math.floor(ms / 1000);

/** True when the file is newer than the header's date; a date that cannot be read is ignored by the caller. */
const isNewer = ({ lastModifiedMs }: Validators, date: number): boolean => seconds(lastModifiedMs) > seconds(date);

function dateOf(header: string | undefined): number | undefined {
  const date = header === undefined ? Number.NaN : Date.parse(header);
  return Number.isNaN(date) ? undefined : date;
}

/** What the conditions of a request come to, in the order of RFC 9110 section 13.2.2. */
export function checkConditions(headers: IncomingHttpHeaders, file: Validators): 'send' | 'not-modified' | 'failed' {
  const ifMatch = headers['if-match'];
  const unmodifiedSince = dateOf(headers['if-unmodified-since']);
  if (ifMatch !== undefined) {
    if (!lists(ifMatch, file.etag, false)) return 'failed';
  } else if (unmodifiedSince !== undefined && isNewer(file, unmodifiedSince)) return 'failed';

  const ifNoneMatch = headers['if-none-match'];
  const modifiedSince = dateOf(headers['if-modified-since']);
  if (ifNoneMatch !== undefined) return lists(ifNoneMatch, file.etag, true) ? 'not-modified' : 'send';
  return modifiedSince !== undefined && !isNewer(file, modifiedSince) ? 'not-modified' : 'send';
}

/** Whether If-Range lets a Range be served: only for the very version that the client already has a part of. */
export function allowsRange(headers: IncomingHttpHeaders, file: Validators): boolean {
  const header = headers['if-range'];
  if (header === undefined) return true;
  const value = Array.isArray(header) ? header.join(',') : header;
  if (value.includes('"')) return value.trim() === file.etag;
  const date = dateOf(value);
  return date !== undefined && seconds(date) === seconds(file.lastModifiedMs);
}
