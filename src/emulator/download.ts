import { timingSafeEqual, createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { OutgoingHttpHeaders } from 'node:http';
import type { Apps } from './apps.ts';
import { authenticate, tokenOf } from './authenticate.ts';
import { allowsRange, checkConditions } from './conditional.ts';
import { ApiError } from './errors.ts';
import type { Answer, Exchange, Handler } from './exchange.ts';
import type { FileStore, StoredFile } from './files.ts';
import { envelope, jsonAnswer } from './json-answer.ts';
import type { EmulatorOptions } from './options.ts';
import { parseRange } from './range.ts';
import { requireApp } from './require-app.ts';
import { wantsThumbnail } from './target.ts';
import type { Thumbnails } from './thumbnail.ts';
import type { Tokens } from './tokens.ts';

/** What a download needs. */
export type DownloadDeps = {
  apps: Apps;
  tokens: Tokens;
  files: FileStore;
  thumbnails: Thumbnails;
  options: Pick<EmulatorOptions, 'thumbnailBy' | 'wrongSecretStatus' | 'anonymousDownloads' | 'now'>;
};

/** The bytes that an answer is made of: the original's or its thumbnail's. */
type Content = { path: string; bytes: number; contentType: string; etag: string; lastModifiedMs: number };

/** Up to so much is read in one go: a stream costs more than a thumbnail's bytes. */
const WHOLE_BYTES = 64 * 1024;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const givenSecret = ({ req, target }: Exchange) => req.headers['share-secret'] ?? target.query.get('share-secret');

function hasSecret(exchange: Exchange, secret: string): boolean {
  const given = givenSecret(exchange);
  return typeof given === 'string' && timingSafeEqual(digest(given), digest(secret));
}

/** True when every media range of Accept is JSON; a client that also takes anything else gets the file. */
function wantsJsonAlone({ req }: Exchange): boolean {
  const ranges = (req.headers.accept ?? '*/*').split(',').map((range) => range.split(';')[0]?.trim().toLowerCase());
  return ranges.every((range) => range === 'application/json');
}

/** Sends files to those who may see them, as thumbnails if that is wished. */
export function createDownload({ apps, tokens, files, thumbnails, options }: DownloadDeps): Handler {
  const { thumbnailBy, wrongSecretStatus, anonymousDownloads, now } = options;

  const requireFile = (org: string, app: string, uuid: string): StoredFile => {
    const file = files.find(uuid);
    if (file === undefined || file.org !== org || file.app !== app) throw new ApiError('FILE_UNKNOWN');
    if (files.isExpired(file)) throw new ApiError('FILE_EXPIRED', { description: `file ${uuid} is expired` });
    return file;
  };

  const contentOf = async ({ req, target }: Exchange, file: StoredFile): Promise<Content> => {
    const { uuid, box, path, bytes, contentType, createdAt: lastModifiedMs } = file;
    const tag = uuid.replaceAll('-', '');
    if (wantsThumbnail(req.headers, target.query, thumbnailBy)) {
      const thumbnail = await thumbnails.of(file);
      if (thumbnail) return { ...thumbnail, etag: `"${tag}-${box.width}x${box.height}"`, lastModifiedMs };
    }
    return { path, bytes, contentType, etag: `"${tag}"`, lastModifiedMs };
  };

  const metadataOf = (exchange: Exchange, application: string, file: StoredFile): Answer => {
    const { org, app, uuid, bytes, contentType, createdAt } = file;
    const entity = {
      uuid,
      type: 'chatfile',
      created: Math.floor(createdAt),
      modified: Math.floor(createdAt),
      'file-metadata': { 'content-length': bytes, 'content-type': contentType, 'last-modified': Math.floor(createdAt) },
    };
    const path = `/chatfiles/${uuid}`;
    return jsonAnswer(
      200,
      envelope(exchange, now(), { action: 'get', org, app, application, path, entities: [entity] }),
    );
  };

  return async (exchange) => {
    const { org, app, id, application } = requireApp(exchange, apps);
    const isNobody = anonymousDownloads === 'withSecret' && tokenOf(exchange) === undefined && givenSecret(exchange);
    if (!isNobody) authenticate(exchange, tokens, org, app);
    const file = requireFile(org, app, id ?? '');
    // What has no secret is open to users alone: any text would pass for one.
    if (isNobody && file.secret === undefined) throw new ApiError('TOKEN_MISSING');
    if (file.secret !== undefined && !hasSecret(exchange, file.secret)) {
      throw new ApiError('SECRET_WRONG', { status: wrongSecretStatus });
    }
    if (wantsJsonAlone(exchange)) return metadataOf(exchange, application, file);
    return sendContent(exchange, await contentOf(exchange, file));
  };
}

async function sendContent({ req }: Exchange, content: Content): Promise<Answer> {
  const headers: OutgoingHttpHeaders = {
    etag: content.etag,
    'last-modified': new Date(content.lastModifiedMs).toUTCString(),
    'accept-ranges': 'bytes',
  };
  const verdict = checkConditions(req.headers, content);
  if (verdict === 'failed') throw new ApiError('PRECONDITION');
  if (verdict === 'not-modified') return { status: 304, headers, body: Buffer.alloc(0) };

  headers['content-type'] = content.contentType;
  // RFC 9110 section 14.2 defines Range for GET alone.
  const wanted = req.method === 'GET' && allowsRange(req.headers, content) ? req.headers.range : undefined;
  const range = parseRange(wanted, content.bytes);
  if (range === 'outside') {
    throw new ApiError('RANGE_OUTSIDE', { headers: { 'content-range': `bytes */${content.bytes}` } });
  }
  if (range === undefined) return { status: 200, headers, body: await slice(content.path, 0, content.bytes) };
  headers['content-range'] = `bytes ${range.start}-${range.end}/${content.bytes}`;
  return { status: 206, headers, body: await slice(content.path, range.start, range.end - range.start + 1) };
}

async function slice(path: string, start: number, length: number): Promise<Answer['body']> {
  const handle = await open(path).catch(() => undefined);
  // Forgotten since it was found.
  if (handle === undefined) throw new ApiError('FILE_UNKNOWN');
  if (length > WHOLE_BYTES) return { handle, start, length };
  await using whole = handle;
  const { buffer, bytesRead } = await whole.read(Buffer.allocUnsafe(length), 0, length, start);
  return buffer.subarray(0, bytesRead);
}
