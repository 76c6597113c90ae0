/**
 * What may be kept of an answer, and as what: a complete 200 with a picture, within its size, and a few of its fields.
 */
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Entry } from '../cache/entry.ts';
import { isFileType, isPicture } from '../policy/file-type.ts';
import type { Variant } from '../policy/variant.ts';
import type { Outcome } from '../upstream/send.ts';

/** How large what is kept may be, in bytes: pictures made from files, and files themselves (0: none). */
export type KeepLimits = { maxEntryBytes: number; originalBytes: number };

/** How large an entry of this form may be. */
export const maxBytesOf = (variant: Variant, { maxEntryBytes, originalBytes }: KeepLimits): number =>
  variant === 'original' ? originalBytes : maxEntryBytes;

/** Whether an answer's head allows its body to be kept. */
export function mayKeep({ status, headers }: Extract<Outcome, { kind: 'answer' }>, maxBytes: number): boolean {
  if (status !== 200 || headers['content-encoding'] !== undefined || headers['content-range'] !== undefined) {
    return false;
  }
  // A body that ends with its connection looks whole wherever it was cut.
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return false;
  if (/\bno-store\b/i.test(headers['cache-control'] ?? '')) return false;
  return isFileType(headers['content-type']) && Number(headers['content-length'] ?? 0) <= maxBytes;
}

/** Makes the entry of a whole body, if it is what it says. Its `etag` is ours, made from the bytes: the same everywhere. */
export function makeEntry(
  variant: Variant,
  headers: IncomingHttpHeaders,
  body: Buffer,
  storedAt: number,
): Entry | undefined {
  const { 'content-type': type = '', 'content-disposition': disposition, 'last-modified': modified, etag } = headers;
  if (body.length === 0 || (variant !== 'original' && !isPicture(type, body))) return undefined;
  return {
    storedAt,
    body,
    fields: {
      'content-type': type,
      etag: `"${hash('sha256', body, 'base64url').slice(0, 27)}"`,
      ...(disposition === undefined ? {} : { 'content-disposition': disposition }),
      ...(modified === undefined ? {} : { 'last-modified': modified }),
      ...(etag === undefined ? {} : { 'upstream-etag': etag }),
    },
  };
}

/** The condition by which the upstream is asked whether somebody may see what is kept, without sending it again. */
export function validatorOf({ fields }: Entry): Record<string, string> {
  if (fields['upstream-etag'] !== undefined) return { 'if-none-match': fields['upstream-etag'] };
  return fields['last-modified'] === undefined ? {} : { 'if-modified-since': fields['last-modified'] };
}
