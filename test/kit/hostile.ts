import { expect } from 'vitest';
import { APP, bearer, CHATFILES, ORG, uploadTo } from './easemob.ts';
import { type RunOptions, type Running, startGateway } from './gateway.ts';
import { connectRaw, type RawReply } from './raw-client.ts';

/**
 * One hostile connection: what is sent, what must come back, and what may have reached the upstream.
 *
 * In the bytes, `<token>`, `<file>` and `<secret>` stand for those of a restricted file that exists; `canary` marks
 * input that must not come back.
 */
export type HostileCase = {
  name: string;
  /** Several pieces are sent one after the other, each as a segment of its own. */
  bytes: string | string[];
  /** The statuses of the replies, in order; none: closed without an answer. */
  status: number | number[];
  /** What reaches the upstream, in order: method, path, and fields that must be there with this value. */
  reaches?: Reached[];
  /** Every byte is sent as a segment of its own. */
  inBytes?: boolean;
  /** The first reply answers HEAD. */
  isHead?: boolean;
};

/** One request at the upstream, `path` with the placeholders. */
export type Reached = { method: 'GET' | 'POST'; path?: string; fields?: Record<string, string>; without?: string[] };

const FILE_BYTES = 'the bytes of an honest file';

/** Fields of the API and of HTTP that the upstream may see; nothing else is ever sent. */
const ALLOWED_FIELDS = new Set([
  'accept',
  'accept-encoding',
  'authorization',
  'connection',
  'content-length',
  'content-type',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
  'restrict-access',
  'share-secret',
  'thumbnail',
  'thumbnail-height',
  'thumbnail-width',
  'traceparent',
  'user-agent',
]);
const CANONICAL_PATH =
  /^\/[A-Za-z0-9._~-]{1,128}\/[A-Za-z0-9._~-]{1,128}\/chatfiles(?:\/[A-Za-z0-9_-]{1,64})?(?:\?[!-~]+)?$/;
const ERROR_KEYS = ['duration', 'error', 'error_description', 'exception', 'timestamp'];

/** The limits under which hostile clients are met: as short as a test can wait. */
const LIMITS = ['limits.bodyIdleMs=300', 'limits.headTimeoutMs=1000', 'limits.discardMs=200'];

/** Plays one case on a gateway of its own, and makes sure of everything that must hold in every case; gives the replies' statuses. */
export async function playHostile(hostile: HostileCase, options: RunOptions = {}): Promise<number[]> {
  const running = await startGateway({ ...options, set: [...LIMITS, ...(options.set ?? [])] });
  const { gateway, emulator } = running;
  const token = emulator.issueToken(ORG, APP);
  const { uuid, secret = '' } = await uploadTo(emulator.url, token, FILE_BYTES, { 'restrict-access': 'true' });
  emulator.clearReceived();
  const fill = (text: string) =>
    text.replaceAll('<token>', token).replaceAll('<file>', uuid).replaceAll('<secret>', secret);

  const wanted = [hostile.status].flat();
  const ownReplies = wanted.length;
  using client = await connectRaw(gateway.url, { isHead: (index) => index === 0 && (hostile.isHead ?? false) });
  const pieces = [hostile.bytes].flat().map(fill);
  for (const piece of hostile.inBytes ? pieces.join('') : pieces) await client.send(piece);
  let result = wanted.length === 0 ? await client.ended() : await client.replies(wanted.length);
  if (result.end === 'open' && result.replies.at(-1)?.headers['connection'] !== 'close') {
    // Had the gateway another idea of where the last request ended, it would not take this for the next one.
    await client.send('GET /probe HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    wanted.push(404);
  }
  result = await client.ended();

  expect(result.replies.map(({ status }) => status)).toEqual(wanted);
  expect(result.rest).toBe('');
  for (const [index, reply] of result.replies.entries()) {
    checkReply(reply, index === 0 && (hostile.isHead ?? false));
    expect(running.summaries.map(({ id }) => id)).toContain(reply.headers['x-request-id']);
  }
  const refusals = result.replies.filter(({ status }) => status >= 400);
  const told = refusals.map(({ headers, body }) => JSON.stringify(headers) + body.toString('latin1')).join('\n');
  for (const secretText of [
    token,
    secret,
    uuid,
    'canary',
    'chatfiles',
    'node_modules',
    '.ts',
    process.cwd(),
    '    at ',
  ]) {
    expect(told.toLowerCase()).not.toContain(secretText.toLowerCase());
  }
  checkUpstream(running, hostile.reaches ?? [], fill);
  await checkNextClient(running, token, uuid, secret);
  return result.replies.slice(0, ownReplies).map(({ status }) => status);
}

function checkReply(reply: RawReply, isHead: boolean): void {
  expect(reply.status).not.toBe(500);
  expect(reply.headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'content-security-policy': expect.stringContaining("default-src 'none'") as string,
  });
  expect(reply.headers).not.toHaveProperty('x-powered-by');
  expect(reply.headers).not.toHaveProperty('server');
  expect(reply.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  if (reply.status < 400) return;
  expect(reply.headers).toMatchObject({ 'content-type': 'application/json', 'cache-control': 'no-store' });
  if (isHead) return;
  const body = JSON.parse(reply.body.toString('utf8')) as Record<string, unknown>;
  expect(Object.keys(body).toSorted()).toEqual(ERROR_KEYS);
}

function checkUpstream({ emulator }: Running, reaches: Reached[], fill: (text: string) => string): void {
  const received = emulator.received();
  const upstreamHost = new URL(emulator.url).host;
  for (const { method, path, headers } of received) {
    expect(['GET', 'POST']).toContain(method);
    expect(path).toMatch(CANONICAL_PATH);
    const names = headers.map(([name]) => name.toLowerCase());
    expect(names.filter((name) => !ALLOWED_FIELDS.has(name))).toEqual([]);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    const fields = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
    expect(fields['host']).toBe(upstreamHost);
    expect(['keep-alive', 'close']).toContain(fields['connection']);
  }
  expect(received.map(({ method }) => method)).toEqual(reaches.map(({ method }) => method));
  for (const [index, { path, fields = {}, without = [] }] of reaches.entries()) {
    const { headers = [], path: sent } = received[index] ?? {};
    if (path !== undefined) expect(sent).toBe(fill(path));
    const found = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
    for (const [name, value] of Object.entries(fields)) expect(found[name]).toBe(fill(value));
    for (const name of without) expect(found).not.toHaveProperty(name);
  }
}

async function checkNextClient({ gateway }: Running, token: string, uuid: string, secret: string): Promise<void> {
  const response = await fetch(`${gateway.url}${CHATFILES}/${uuid}`, {
    headers: bearer(token, { 'share-secret': secret, connection: 'close' }),
  });
  expect([response.status, await response.text()]).toEqual([200, FILE_BYTES]);
}

/** The fields of an honest download. */
export const HONEST = ['Host: h', 'Authorization: Bearer <token>', 'share-secret: <secret>'];
/** The address of the restricted file. */
export const FILE = `${CHATFILES}/<file>`;
/** What an honest download looks like to the upstream. */
export const DOWNLOADED: Reached = {
  method: 'GET',
  path: FILE,
  fields: { authorization: 'Bearer <token>', 'share-secret': '<secret>', accept: 'application/octet-stream' },
};
/** What an honest upload looks like to the upstream. */
export const UPLOADED: Reached = { method: 'POST', path: CHATFILES, fields: { authorization: 'Bearer <token>' } };

/** A head of these lines, with its empty line. */
export const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;

/** An honest download but for these fields; the first argument replaces parts of the request line. */
export const get = (
  { method = 'GET', target = FILE, version = 'HTTP/1.1', fields = HONEST } = {},
  ...more: string[]
): string => head(`${method} ${target} ${version}`, ...fields, ...more);

/** A form with one file part of this content, or of other parts. */
export const form = (...parts: string[]): string => `${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--\r\n`;
/** A part that is the file. */
export const filePart = (content = 'x', disposition = 'form-data; name="file"; filename="canary.bin"'): string =>
  `Content-Disposition: ${disposition}\r\n\r\n${content}`;

/** The fields of an honest upload. */
export const UPLOAD = ['Host: h', 'Authorization: Bearer <token>', 'Content-Type: multipart/form-data; boundary=b'];

/** What an upload may have in place of what an honest one has. */
export type Posted = { body?: string; target?: string; version?: string; fields?: string[]; framing?: string[] };
/** An honest upload but for these fields; with its Content-Length unless `framing` says otherwise. */
export function post(posted: Posted = {}, ...more: string[]): string {
  const { body = form(filePart()), target = CHATFILES, version = 'HTTP/1.1', fields = UPLOAD } = posted;
  const { framing = [`Content-Length: ${body.length}`] } = posted;
  return head(`POST ${target} ${version}`, ...fields, ...framing, ...more) + body;
}

/** A body in chunks: each piece one, and the last one with these trailers. */
export const chunked = (pieces: string[], trailers: string[] = []): string =>
  `${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n${trailers.map((t) => `${t}\r\n`).join('')}\r\n`;
/** The field that says so. */
export const CHUNKED = ['Transfer-Encoding: chunked'];
