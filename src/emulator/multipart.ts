import { Busboy } from '@fastify/busboy';
import type { BusboyFileStream, BusboyInstance } from '@fastify/busboy';
import { ApiError } from './errors.ts';

/** What a multipart body is read with. */
export type MultipartReader = {
  source: AsyncIterable<Buffer>;
  contentType: string;
  maxFileBytes: number;
  /** Takes the bytes of the first `file` part to their end. */
  takeFile: (bytes: AsyncIterable<Buffer>) => Promise<void>;
};

/** The parts of a form: its text fields, and the type of its file. */
export type Form = { fields: Map<string, string>; fileType: string };

const BOUNDARY = /boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,\s]+))/gi;
const MULTIPART = /^\s*multipart\/form-data\b/i;
const FILE_PART = 'file';
const MAX_FIELD_BYTES = 64 * 1024;
const MAX_PARTS = 100;
// A sane type or none: it is sent back as a header later.
const MEDIA_TYPE = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+$/;
/** A parser that takes nothing for so long is stuck in a malformed part. */
const STUCK_MS = 10_000;

/** The boundary that counts: the last of several, since curl adds its own behind one that was set by hand. */
export function lastBoundary(contentType: string): string | undefined {
  const last = [...contentType.matchAll(BOUNDARY)].at(-1);
  return last?.[1]?.replaceAll(/\\(.)/g, '$1') ?? last?.[2];
}

function createParser(contentType: string, maxFileBytes: number): BusboyInstance {
  if (!MULTIPART.test(contentType)) throw new ApiError('MEDIA_UNKNOWN');
  const boundary = lastBoundary(contentType);
  if (boundary === undefined || boundary === '') throw new ApiError('FILE_MISSING');
  try {
    return new Busboy({
      headers: { 'content-type': `multipart/form-data; boundary="${boundary.replaceAll(/["\\]/g, '\\$&')}"` },
      // A part named `file` is the file, with a file name or without; any other part is a field.
      isPartAFile: (name) => name === FILE_PART,
      limits: { fileSize: maxFileBytes, files: 1, parts: MAX_PARTS, fieldSize: MAX_FIELD_BYTES, headerPairs: 100 },
    });
  } catch {
    throw new ApiError('FILE_MISSING');
  }
}

/** Reads a multipart body to its end, streaming its file; fails when there is no file, or too large a one. */
export async function readMultipart({ source, contentType, maxFileBytes, takeFile }: MultipartReader): Promise<Form> {
  const parser = createParser(contentType, maxFileBytes);
  const fields = new Map<string, string>();
  const failed = Promise.withResolvers<never>();
  const done = Promise.withResolvers<void>();
  // Both may fail when nobody waits for them any more.
  failed.promise.catch(() => {});
  // What went wrong with the stream itself, as against with whoever reads it.
  const broken = new Set<unknown>();
  let file: { stream: BusboyFileStream; type: string; taken: Promise<void> } | undefined;

  parser.on('error', () => failed.reject(new ApiError('FILE_MISSING')));
  parser.on('finish', done.resolve);
  parser.on('field', (name, value) => {
    if (typeof name === 'string') fields.set(name.toLowerCase(), value);
  });
  parser.on('file', (_name, stream, _fileName, _encoding, type) => {
    stream.once('limit', () => failed.reject(new ApiError('FILE_TOO_LARGE')));
    // For good, not once: a stream that is ended twice fails twice, and a failure that nobody hears ends the process.
    stream.on('error', (error) => {
      broken.add(error);
      failed.reject(new ApiError('FILE_MISSING'));
    });
    const taken = takeFile(stream);
    taken.catch(failed.reject);
    file = { stream, type: MEDIA_TYPE.test(type) ? type : 'application/octet-stream', taken };
  });

  try {
    for await (const chunk of source) {
      if (!parser.write(chunk)) await Promise.race([drained(parser), failed.promise]);
    }
    parser.end();
    await Promise.race([done.promise, failed.promise, stuck(done.promise)]);
    if (file === undefined) throw new ApiError('FILE_MISSING');
    await Promise.race([file.taken, failed.promise]);
    return { fields, fileType: file.type };
  } catch (thrown) {
    // Ends the file's consumer too, so that it lets go of what it has written before the caller throws that away.
    const ended = new Error('the upload ended early');
    broken.add(ended);
    file?.stream.destroy(ended);
    parser.destroy();
    const reason: unknown = await file?.taken.then(
      () => undefined,
      (error: unknown) => error,
    );
    // A consumer that fails breaks its stream as well; then its own reason is the one to tell.
    throw reason === undefined || broken.has(reason) ? thrown : reason;
  }
}

const drained = (parser: BusboyInstance): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  parser.once('drain', resolve);
  return Promise.race([promise, stuck(promise)]);
};

async function stuck(awaited: Promise<void>): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new ApiError('FILE_MISSING')), STUCK_MS);
  const stop = (): void => clearTimeout(timer);
  awaited.then(stop, stop);
  return promise;
}
