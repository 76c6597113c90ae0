import { execFile } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { type OutgoingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { APP, bearer, CHATFILES, fileOf, formOf, ORG, type Uploaded, uploadTo } from '../kit/easemob.ts';
import { type RunOptions, startGateway } from '../kit/gateway.ts';
import { connectRaw } from '../kit/raw-client.ts';

const MIB = 1024 ** 2;
const LIMIT = 10 * MIB;
const FORM_BYTES = 64 * 1024;
const TYPE = 'multipart/form-data; boundary=b';
const TOO_LARGE = {
  error: 'file exceeding maximum limit',
  error_description: 'the file size exceeds the maximum limit.',
};

/** A form with a file of so many bytes, and another part of so many. */
function bodyOf(fileBytes: number, otherBytes = 0): Buffer {
  const part = (name: string, bytes: number) => [
    Buffer.from(`--b\r\nContent-Disposition: form-data; name="${name}"; filename="f"\r\n\r\n`),
    Buffer.alloc(bytes, 'x'),
    Buffer.from('\r\n'),
  ];
  const other = otherBytes > 0 ? part('other', otherBytes) : [];
  return Buffer.concat([...other, ...part('file', fileBytes), Buffer.from('--b--\r\n')]);
}

async function start(options: RunOptions = {}) {
  const running = await startGateway(options);
  return { ...running, token: running.emulator.issueToken(ORG, APP) };
}

/** Uploads by node:http, which tells of a reset wherever it comes. */
async function send(url: string, token: string, body: Buffer, framing: OutgoingHttpHeaders) {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const headers = { ...bearer(token), 'content-type': TYPE, ...framing };
  const outgoing = request(`${url}${CHATFILES}`, { method: 'POST', headers, agent: false });
  outgoing.on('response', (answer) => {
    text(answer).then((read) => resolve({ status: answer.statusCode ?? 0, body: read }), reject);
  });
  outgoing.on('error', reject);
  outgoing.end(body);
  return promise;
}

const FRAMINGS: [string, (body: Buffer) => OutgoingHttpHeaders][] = [
  ['Content-Length', (body) => ({ 'content-length': body.length })],
  ['chunks', () => ({ 'transfer-encoding': 'chunked' })],
];

/** The head of an upload, for a raw client. */
const headOf = (token: string, ...fields: string[]) =>
  [
    `POST ${CHATFILES} HTTP/1.1`,
    'Host: h',
    `Authorization: Bearer ${token}`,
    `Content-Type: ${TYPE}`,
    ...fields,
    '',
    '',
  ].join('\r\n');

describe('an upload that is broken off', () => {
  it('is told with what had come of it', async () => {
    const { gateway, summaries, token } = await start();
    using client = await connectRaw(gateway.url);
    const body = bodyOf(100_000);
    await client.send(headOf(token, `Content-Length: ${body.length}`));
    await client.send(body.subarray(0, 50_000));
    client.socket.end();
    await expect.poll(() => summaries).toMatchObject([{ error: 'CLIENT_GONE', bytesIn: 50_000 }]);
  });
});

describe('a form with more beside its file than it may have', () => {
  it.each(FRAMINGS)('goes nowhere, by %s', async (_case, framing) => {
    const { gateway, emulator, token } = await start();
    const body = bodyOf(5, FORM_BYTES);
    const reply = await send(gateway.url, token, body, framing(body));
    expect([reply.status, JSON.parse(reply.body)]).toEqual([413, expect.objectContaining(TOO_LARGE)]);
    expect(emulator.received()).toEqual([]);
  });
});

describe('a file', () => {
  it.each(FRAMINGS)('of exactly 10 MiB goes through, sent with %s', async (_name, framing) => {
    const { gateway, emulator, token } = await start();
    const body = bodyOf(LIMIT);
    expect(await send(gateway.url, token, body, framing(body))).toMatchObject({ status: 200 });
    expect(emulator.stats()).toMatchObject({ storedFiles: 1, storedBytes: LIMIT });
  });

  it.each(FRAMINGS)('of one byte more gets 413 and is stored nowhere, sent with %s', async (_name, framing) => {
    const { gateway, emulator, token } = await start();
    const body = bodyOf(LIMIT + 1);
    const answer = await send(gateway.url, token, body, framing(body));
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([413, TOO_LARGE]);
    expect(emulator.received()).toEqual([]);
  });

  it.each(FRAMINGS)('of one byte beside parts of 10 MiB and 64 KiB gets 413, sent with %s', async (_name, framing) => {
    // Attack: the bound is on the file, so everything else in the form is free.
    const { gateway, emulator, token } = await start();
    const body = bodyOf(1, LIMIT + FORM_BYTES);
    expect(await send(gateway.url, token, body, framing(body))).toMatchObject({ status: 413 });
    expect(emulator.received()).toEqual([]);
  });
});

describe('an announced excess', () => {
  it('is answered before the client is asked for its body', async () => {
    const { gateway, emulator, token } = await start();
    using client = await connectRaw(gateway.url);
    await client.send(headOf(token, `Content-Length: ${30 * MIB}`, 'Expect: 100-continue'));
    const { replies, interim } = await client.replies(1);
    expect([interim, replies[0]?.status, replies[0]?.headers['connection']]).toEqual([[], 413, 'close']);
    expect(emulator.received()).toEqual([]);
  });

  it('is no reason to wait: the body of an honest upload is asked for', async () => {
    const { gateway, token } = await start();
    const body = bodyOf(10);
    using client = await connectRaw(gateway.url);
    await client.send(headOf(token, `Content-Length: ${body.length}`, 'Expect: 100-continue'));
    expect((await client.begun(1)).interim).toEqual([100]);
    await client.send(body);
    expect((await client.replies(1)).replies[0]?.status).toBe(200);
  });
});

/** A folder for one test, with a file of so many bytes in it. */
async function fileIn(bytes: number): Promise<{ folder: string; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-sizes-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'a.jpg');
  await using handle = await open(path, 'wx');
  await handle.truncate(bytes);
  return { folder, path };
}

/** Runs curl: rejects when it fails, as it does when a connection is reset. */
const curl = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)('curl', ['--silent', '--show-error', '--max-time', '15', ...args])).stdout;

describe('a 413 is read whole', () => {
  it.each([
    ['with a length', []],
    ['in chunks', ['-H', 'Transfer-Encoding: chunked']],
    ['with a length at once', ['-H', 'Expect:']],
    ['in chunks at once', ['-H', 'Transfer-Encoding: chunked', '-H', 'Expect:']],
    ['with a length after being asked', ['-H', 'Expect: 100-continue']],
  ])('by curl that sends 30 MB %s', async (_case, args) => {
    const { gateway, emulator, token } = await start();
    const { path } = await fileIn(30 * MIB);
    const url = `${gateway.url}${CHATFILES}`;
    const auth = `Authorization: Bearer ${token}`;
    const out = await curl(...args, '-H', auth, '-F', `file=@${path}`, '-w', '\n%{http_code}', url);
    const [body = '', status] = out.split('\n');
    expect([status, JSON.parse(body)]).toMatchObject(['413', TOO_LARGE]);
    expect(emulator.received()).toEqual([]);
  });

  it.each(FRAMINGS)("by Node's http.request that sends 30 MB with %s", async (_name, framing) => {
    const { gateway, token } = await start();
    const body = bodyOf(30 * MIB);
    const answer = await send(gateway.url, token, body, framing(body));
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([413, TOO_LARGE]);
  });

  it("by Node's fetch that sends 30 MB as FormData", async () => {
    const { gateway, token } = await start();
    const response = await fetch(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(token),
      body: formOf(new Uint8Array(30 * MIB)),
    });
    expect([response.status, await response.json()]).toMatchObject([413, TOO_LARGE]);
  });
});

describe('what still comes of a refused body', () => {
  it('is read up to limits.discardBytes; who never stops is cut off', async () => {
    const { gateway, token } = await start({ set: ['limits.discardBytes=1000000'] });
    using client = await connectRaw(gateway.url);
    await client.send(headOf(token, `Content-Length: ${2 ** 40}`));
    expect((await client.replies(1)).replies[0]?.status).toBe(413);
    const block = Buffer.alloc(MIB);
    // Far more than the socket buffers of both sides take.
    for (let sent = 0; sent < 200 && !client.socket.destroyed; sent += 1) await client.send(block);
    const { replies, end } = await client.ended();
    expect([replies.length, end]).toEqual([1, 'reset']);
  });

  it('is awaited for limits.discardMs; then the connection closes', async () => {
    const { gateway, token } = await start({ set: ['limits.discardMs=100'] });
    using client = await connectRaw(gateway.url);
    await client.send(headOf(token, `Content-Length: ${30 * MIB}`) + 'x');
    const { replies, end } = await client.ended();
    expect([replies[0]?.status, replies.length, end]).toEqual([413, 1, 'closed']);
  });
});

describe('a slow client', () => {
  it.each([
    ['whose body stands still', 'limits.bodyIdleMs=100'],
    ['whose body takes too long', 'limits.bodyTotalMs=100'],
  ])('%s gets 408 in JSON', async (_case, limit) => {
    const { gateway, emulator, token, summaries } = await start({ set: [limit, 'limits.discardMs=100'] });
    using client = await connectRaw(gateway.url);
    await client.send(headOf(token, 'Content-Length: 1000') + '--b\r\n');
    const { replies } = await client.ended();
    expect(replies[0]?.status).toBe(408);
    expect(JSON.parse(String(replies[0]?.body))).toMatchObject({ error: 'request_timeout' });
    expect(emulator.received()).toEqual([]);
    expect(summaries).toMatchObject([{ status: 408, error: 'REQUEST_TOO_SLOW' }]);
  });

  it('whose head never ends gets 408 in JSON', async () => {
    const { gateway, token } = await start({ set: ['limits.headTimeoutMs=100'] });
    using client = await connectRaw(gateway.url);
    await client.send(headOf(token).slice(0, -2));
    const { replies } = await client.ended();
    expect(replies[0]?.status).toBe(408);
    expect(JSON.parse(String(replies[0]?.body))).toMatchObject({ error: 'request_timeout' });
  });
});

describe("the commands of Easemob's page", () => {
  it('work with host, token and file changed: one uploads, the other fetches it by its secret', async () => {
    const { gateway, token } = await start();
    const { folder, path } = await fileIn(0);
    const picture = fileOf(50_000);
    await writeFile(path, picture);
    const auth = `Authorization: Bearer ${token}`;
    const restricted = ['--verbose', '--header', auth, '--header', 'restrict-access:true'];
    const uploaded = await curl(...restricted, '--form', `file=@${path}`, `${gateway.url}${CHATFILES}`);
    const [{ uuid, 'share-secret': secret = '' }] = (JSON.parse(uploaded) as Uploaded).entities;
    expect(secret).toHaveLength(48);

    const fields = ['-H', `share-secret: ${secret}`, '--header', auth, '-H', 'Accept: application/octet-stream'];
    await curl('--output-dir', folder, '-O', ...fields, `${gateway.url}${CHATFILES}/${uuid}`);
    expect((await readFile(join(folder, uuid))).equals(picture)).toBe(true);
  });

  it('work where a Content-Type of its own gives the request two boundaries', async () => {
    const { gateway, emulator, token } = await start();
    const { path } = await fileIn(2000);
    const type = 'Content-Type: multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW';
    const fields = ['-H', `Authorization: Bearer ${token}`, '-H', type, '-H', 'restrict-access: true'];
    const uploaded = await curl('-X', 'POST', `${gateway.url}${CHATFILES}`, ...fields, '-F', `file=@${path}`);
    expect((JSON.parse(uploaded) as Uploaded).entities[0].type).toBe('chatfile');
    expect(emulator.stats()).toMatchObject({ storedFiles: 1, storedBytes: 2000 });
  });
});

/** What this process has open: sockets, and files of a spool. */
function openThings(): { sockets: number; spoolFiles: number } {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return {
    sockets: links.filter((link) => link.startsWith('socket:')).length,
    spoolFiles: links.filter((link) => link.includes('chatfiles-spool-')).length,
  };
}

describe('two hundred clients that vanish', () => {
  it.each([
    ['before the first byte of an upload', 0],
    ['in the middle of an upload', 0.5],
    ['close to the end of an upload', 0.99],
  ])('%s leave nothing behind', async (_case, share) => {
    const { folder } = await fileIn(0);
    const set = [`spool.dir=${join(folder, 'spool')}`, 'spool.memoryPerUploadBytes=1000'];
    const { gateway, emulator, token, summaries } = await start({ set });
    const body = bodyOf(100_000);
    const before = openThings();
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        using client = await connectRaw(gateway.url);
        await client.send(headOf(token, `Content-Length: ${body.length}`, 'Expect: 100-continue'));
        await client.begun(1);
        await client.send(body.subarray(0, body.length * share));
        client.reset();
      }),
    );
    await expect.poll(() => summaries.length, { timeout: 5000 }).toBe(200);
    expect(summaries.filter(({ error }) => error !== 'CLIENT_GONE')).toEqual([]);
    await expect.poll(openThings, { timeout: 5000 }).toEqual(before);
    expect(emulator.received()).toEqual([]);

    // Had each taken a slot, there would be none left for seven seconds.
    await uploadTo(gateway.url, token, 'honest');
    await expect.poll(() => summaries[200]?.status).toBe(200);
    // Had those that left used up slots, it would have stood in line for a window.
    expect(summaries[200]?.queuedMs).toBeLessThan(500);
    expect(openThings().spoolFiles).toBe(0);
  });
});
