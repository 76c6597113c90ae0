import { createHash } from 'node:crypto';
import type { Apps } from './apps.ts';
import { authenticate } from './authenticate.ts';
import { ApiError } from './errors.ts';
import { readBody } from './exchange.ts';
import type { Exchange, Handler } from './exchange.ts';
import type { FileStore, IncomingFile } from './files.ts';
import { envelope, jsonAnswer } from './json-answer.ts';
import { readMultipart } from './multipart.ts';
import type { Form } from './multipart.ts';
import type { EmulatorOptions } from './options.ts';
import { requireApp } from './require-app.ts';
import type { Tokens } from './tokens.ts';

/** What an upload needs. */
export type UploadDeps = {
  apps: Apps;
  tokens: Tokens;
  files: FileStore;
  options: Pick<EmulatorOptions, 'maxFileBytes' | 'restrictAccessBy' | 'thumbnailBox' | 'hashUploads' | 'now'>;
};

/** What a body may be larger than its file: the multipart frame and the other parts. */
const FRAME_BYTES = 64 * 1024;
const MAX_BOX_SIDE = 4096;

function isRestricted({ req }: Exchange, by: 'presence' | 'value'): boolean {
  const header = req.headers['restrict-access'];
  return by === 'presence' ? header !== undefined : String(header).toLowerCase() === 'true';
}

/** One side of the thumbnail's box: a header goes before a form field, and what is no number is ignored. */
function boxSide({ req }: Exchange, { fields }: Form, name: string, usual: number): number {
  const wished = Number(req.headers[name] ?? fields.get(name));
  return Number.isInteger(wished) && wished >= 1 ? Math.min(wished, MAX_BOX_SIDE) : usual;
}

/** The body with its bytes bounded and, if wanted, hashed on the way. */
async function* measuredBody(exchange: Exchange, maxBodyBytes: number, hashes: boolean): AsyncGenerator<Buffer> {
  const hash = hashes ? createHash('sha256') : undefined;
  for await (const chunk of readBody(exchange)) {
    if (exchange.received.bytesIn > maxBodyBytes) throw new ApiError('FILE_TOO_LARGE');
    hash?.update(chunk);
    yield chunk;
  }
  if (hash !== undefined) exchange.received.bodySha256 = hash.digest('hex');
}

/** Takes a file of a user of the app, as far as it is not too large. */
export function createUpload({ apps, tokens, files, options }: UploadDeps): Handler {
  const { maxFileBytes, restrictAccessBy, thumbnailBox, hashUploads, now } = options;
  const maxBodyBytes = maxFileBytes + FRAME_BYTES;

  const readForm = (exchange: Exchange, incoming: IncomingFile): Promise<Form> =>
    readMultipart({
      source: measuredBody(exchange, maxBodyBytes, hashUploads),
      contentType: exchange.req.headers['content-type'] ?? '',
      maxFileBytes,
      takeFile: (bytes) => incoming.write(bytes),
    });

  return async (exchange) => {
    const { org, app, application } = requireApp(exchange, apps);
    authenticate(exchange, tokens, org, app);
    if (Number(exchange.req.headers['content-length'] ?? 0) > maxBodyBytes) throw new ApiError('FILE_TOO_LARGE');

    const incoming = files.receive();
    try {
      const form = await readForm(exchange, incoming);
      const restricted = isRestricted(exchange, restrictAccessBy);
      const box = {
        width: boxSide(exchange, form, 'thumbnail-width', thumbnailBox.width),
        height: boxSide(exchange, form, 'thumbnail-height', thumbnailBox.height),
      };
      const { uuid, secret } = await incoming.keep({ org, app, contentType: form.fileType, restricted, box });
      const sha256 = incoming.sha256();
      if (sha256 !== undefined) exchange.received.fileSha256 = sha256;
      exchange.received.fileUuid = uuid;
      const entity = { uuid, type: 'chatfile', ...(secret === undefined ? {} : { 'share-secret': secret }) };
      const parts = { org, app, application, path: '/chatfiles', entities: [entity] };
      return jsonAnswer(200, envelope(exchange, now(), { action: 'post', ...parts }));
    } finally {
      await incoming.discard();
    }
  };
}
