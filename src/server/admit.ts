import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import { enforce } from '../policy/decision.ts';
import { type MultipartWatch, watchMultipart } from '../policy/multipart.ts';
import { checkAnnounced, type SizePolicy } from '../policy/size.ts';

/** An upload that may send its body: what it announced, and the watch over its parts. */
export type Admitted = { announcedBytes: number | undefined; watch: MultipartWatch };

/** Parts that a form may have beside its file, and what one part's head may weigh in bytes. */
const FORM = { maxParts: 16, maxPartHeadBytes: 8 * 1024 };

/** The phase that judges an upload by its head, before a byte of the body is asked for. */
export function admit(req: IncomingMessage, size: SizePolicy): Admitted {
  const { 'content-length': length, 'content-encoding': coding, 'content-type': type } = req.headers;
  if (coding !== undefined && coding.toLowerCase() !== 'identity') {
    // The file's size could not be counted, and a few bytes could stand for gigabytes.
    throw new GatewayError('MEDIA_UNSUPPORTED', { reason: 'a content coding on an upload' });
  }
  const announcedBytes = length === undefined ? undefined : Number(length);
  enforce(checkAnnounced(size, announcedBytes));
  const watch = watchMultipart(type, { fileBytes: size.fileBytes, ...FORM });
  if ('allowed' in watch) throw new GatewayError(watch.code, { reason: watch.reason });
  return { announcedBytes, watch };
}
