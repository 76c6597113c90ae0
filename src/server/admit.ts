import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import { enforce } from '../policy/decision.ts';
import { type MultipartWatch, watchMultipart } from '../policy/multipart.ts';
import { checkAnnounced, maxBodyBytes, type SizePolicy } from '../policy/size.ts';

import type { Content } from './movement.ts';

/** An upload that may send its body: what it announced, and the watch over its parts. */
export type Admitted = { announcedBytes: number | undefined; watch: MultipartWatch };

/** Judges a body by its head alone: how many bytes it announces, if it says so, and that it is not packed. */
export function admitBody({ headers }: IncomingMessage, maxBytes: number): number | undefined {
  const { 'content-length': length, 'content-encoding': coding } = headers;
  if (coding !== undefined && coding.toLowerCase() !== 'identity') {
    // The file's size could not be counted, and a few bytes could stand for gigabytes.
    throw new GatewayError('MEDIA_UNSUPPORTED', { reason: 'a content coding on a body' });
  }
  const announcedBytes = length === undefined ? undefined : Number(length);
  enforce(checkAnnounced(maxBytes, announcedBytes));
  return announcedBytes;
}

/** Parts that a form may have beside its file, and what one part's head may weigh in bytes. */
const FORM = { maxParts: 16, maxPartHeadBytes: 8 * 1024 };

/**
 * The phase that judges an upload by its head, before a byte of the body is asked for; `field` is its file's name in the
 * form, and `content` is shown the file's bytes.
 */
export function admit(req: IncomingMessage, size: SizePolicy, field = 'file', content?: Content): Admitted {
  const announcedBytes = admitBody(req, maxBodyBytes(size));
  const shown = content ? { onFile: (bytes: Uint8Array) => content.take(bytes) } : {};
  const watch = watchMultipart(req.headers['content-type'], { fileBytes: size.fileBytes, field, ...FORM, ...shown });
  if ('allowed' in watch) throw new GatewayError(watch.code, { reason: watch.reason });
  return { announcedBytes, watch };
}
