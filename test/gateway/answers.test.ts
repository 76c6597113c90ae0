import { describe, expect, it, onTestFinished } from 'vitest';
import type { Emulator } from '../../src/emulator/emulator.ts';
import { ask, multipartOf, type Question, sha256 } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { type RawRequest, startRawUpstream } from '../kit/raw-upstream.ts';

const FILE = `${CHATFILES}/0a0b0c0d-1111-2222-3333-444455556666`;
const SET = ['quota.perSecond=1000'];

/** What no hop between client and upstream may pass on, and what is nobody's business there. */
const NOISE: Record<string, string> = {
  accept: 'application/json',
  'accept-encoding': 'gzip, br',
  'accept-language': 'zh-CN',
  'cache-control': 'no-cache',
  cookie: 'session=1',
  forwarded: 'for=1.2.3.4',
  'keep-alive': 'timeout=1',
  origin: 'https://evil.example',
  'proxy-authorization': 'Basic eDp5',
  referer: 'https://example.com/',
  te: 'trailers',
  'user-agent': 'a client',
  via: '1.1 somewhere',
  'x-forwarded-for': '1.2.3.4',
  'x-forwarded-host': 'evil.example',
  'x-http-method-override': 'DELETE',
  'x-original-url': '/admin',
  'x-real-ip': '1.2.3.4',
  'x-request-id': 'forged',
};

async function start() {
  const running = await startGateway({ set: SET, emulator: { limiter: { algorithm: 'off' } } });
  const token = running.emulator.issueToken(ORG, APP);
  const get = (uuid: string, question: Question & { query?: string } = {}) =>
    ask(`${running.gateway.url}${CHATFILES}/${uuid}${question.query ?? ''}`, {
      ...question,
      headers: { ...bearer(token), ...question.headers },
    });
  const post = (headers: Record<string, string | string[]> = {}, file: Uint8Array = fileOf(100)) => {
    const { contentType, body } = multipartOf(file);
    return ask(`${running.gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': contentType, ...headers },
      body,
    });
  };
  return { ...running, token, get, post };
}

/** The fields of the last request that the upstream got, names in lower case. */
function lastFields(emulator: Emulator): Record<string, string> {
  const pairs = emulator.received().at(-1)?.headers ?? [];
  const fields = Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));
  expect(Object.keys(fields)).toHaveLength(pairs.length);
  return fields;
}

describe('what reaches Easemob', () => {
  it('of a download is the list of what a download may say, whatever else the client said', async () => {
    const { emulator, get, token, gateway } = await start();
    const { uuid } = await uploadTo(gateway.url, token, 'bytes');
    const own = {
      'share-secret': 'abc',
      thumbnail: 'true',
      'thumbnail-width': '99',
      'thumbnail-height': '77',
      range: 'bytes=0-1',
      'if-range': '"x"',
      'if-none-match': '"y"',
      'if-modified-since': 'Mon, 01 Jan 2024 00:00:00 GMT',
    };
    await get(uuid, { headers: { ...NOISE, ...own } });
    expect(lastFields(emulator)).toEqual({
      ...own,
      host: new URL(emulator.url).host,
      authorization: `Bearer ${token}`,
      accept: 'application/octet-stream',
      'accept-encoding': 'identity',
      'user-agent': 'chatfiles-gateway',
      connection: 'keep-alive',
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/),
    });
  });

  it('of an upload is the list of what an upload may say', async () => {
    const { emulator, post, token } = await start();
    const own = { 'restrict-access': 'true', 'thumbnail-width': '99', 'thumbnail-height': '77' };
    expect((await post({ ...NOISE, ...own, expect: '100-continue' })).status).toBe(200);
    expect(lastFields(emulator)).toEqual({
      ...own,
      host: new URL(emulator.url).host,
      authorization: `Bearer ${token}`,
      accept: '*/*',
      'accept-encoding': 'identity',
      'content-type': expect.stringMatching(/^multipart\/form-data; boundary=/),
      'content-length': expect.stringMatching(/^\d+$/),
      'user-agent': 'chatfiles-gateway',
      connection: 'keep-alive',
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/),
    });
  });

  // A proxy that obeys Connection drops the fields it names: the file would be stored open, and both ends believe it
  // restricted; a thumbnail would be the whole picture.
  it.each(['restrict-access', 'close, restrict-access', 'Restrict-Access, authorization, content-type'])(
    'are the fields of the API even when the client names them in Connection: %s',
    async (connection) => {
      const { emulator, post, get } = await start();
      const reply = await post({ connection, 'restrict-access': 'true' });
      const { entities } = JSON.parse(reply.body.toString()) as {
        entities: [{ uuid: string; 'share-secret': string }];
      };
      expect(lastFields(emulator)).toMatchObject({ 'restrict-access': 'true', connection: 'keep-alive' });
      expect((await get(entities[0].uuid)).status).toBe(403);
      const headers = {
        connection: 'share-secret, thumbnail',
        'share-secret': entities[0]['share-secret'],
        thumbnail: 'true',
      };
      expect((await get(entities[0].uuid, { headers })).status).toBe(200);
      expect(lastFields(emulator)).toMatchObject({ thumbnail: 'true', connection: 'keep-alive' });
    },
  );

  it.each(['true', 'false', 'TRUE', '0', 'yes please', ''])(
    'is restrict-access as it was written: "%s"',
    async (value) => {
      const { emulator, post } = await start();
      expect((await post({ 'restrict-access': value })).status).toBe(200);
      expect(lastFields(emulator)['restrict-access']).toBe(value);
    },
  );

  it('is no restrict-access when there was none', async () => {
    const { emulator, post } = await start();
    await post();
    expect(lastFields(emulator)).not.toHaveProperty('restrict-access');
  });

  it.each(['true', 'false', '', 'whatever'])('is thumbnail as it was written: "%s"', async (value) => {
    const { emulator, get, summaries } = await start();
    await get('0a0b0c0d-1111-2222-3333-444455556666', { headers: { thumbnail: value } });
    expect(lastFields(emulator)['thumbnail']).toBe(value);
    expect(summaries.at(-1)?.route).toBe('thumbnail');
  });

  it.each([undefined, '*/*', 'application/json', 'image/png', 'text/html;q=0.9'])(
    'is always a wish for the file itself, also when the client accepts %s',
    async (accept) => {
      const { emulator, get, token, gateway } = await start();
      const { uuid } = await uploadTo(gateway.url, token, 'the bytes');
      const reply = await get(uuid, accept === undefined ? {} : { headers: { accept } });
      expect(reply.body.toString()).toBe('the bytes');
      expect(lastFields(emulator)['accept']).toBe('application/octet-stream');
    },
  );

  it('is the query byte for byte, but for the secret, which goes in its header', async () => {
    const { emulator, get } = await start();
    await get('0a0b0c0d-1111-2222-3333-444455556666', { query: '?a=%7e&share-secret=a%2Bb%7ec&unknown=%E4%BD%A0&x' });
    const { path, headers } = emulator.received().at(-1) ?? {};
    expect(path).toBe(`${FILE}?a=%7e&unknown=%E4%BD%A0&x`);
    expect(new Map(headers).get('share-secret')).toBe('a+b~c');
  });

  it('is the body of an upload byte for byte, with its length', async () => {
    const { emulator, gateway, token } = await start();
    const { contentType, body } = multipartOf(fileOf(300_000), 'ein bild ä.jpg');
    await ask(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(token, { 'content-type': contentType }),
      body,
    });

    expect(emulator.received().at(-1)).toMatchObject({ bodySha256: sha256(body), bytesIn: body.length });
    expect(lastFields(emulator)['content-length']).toBe(String(body.length));
  });
});

describe('what comes back', () => {
  const answer =
    (status: string, fields: string[], body = 'fine') =>
    ({ socket }: RawRequest): void => {
      const head = [`HTTP/1.1 ${status}`, ...fields, `Content-Length: ${Buffer.byteLength(body)}`].join('\r\n');
      socket.write(`${head}\r\n\r\n${body}`);
    };

  async function askBehind(respond: (request: RawRequest) => void, method = 'GET') {
    const upstream = await startRawUpstream(respond);
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const { gateway } = await startGateway({ upstreamUrl: upstream.url, set: SET });
    return ask(`${gateway.url}${FILE}`, { method, headers: bearer('YWMtx') });
  }

  it('is what a file is described by, and nothing that the upstream says of itself or its connection', async () => {
    const kept = {
      'accept-ranges': 'bytes',
      age: '7',
      'cache-control': 'max-age=60',
      'content-disposition': 'attachment; filename="a.jpg"',
      'content-type': 'image/jpeg',
      date: 'Mon, 01 Jan 2024 00:00:00 GMT',
      etag: '"abc"',
      expires: 'Tue, 02 Jan 2024 00:00:00 GMT',
      'last-modified': 'Sun, 31 Dec 2023 00:00:00 GMT',
    };
    const dropped = {
      'access-control-allow-origin': '*',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'x',
      'alt-svc': 'h3=":443"',
      connection: 'x-hop, keep-alive',
      'keep-alive': 'timeout=3',
      'proxy-authenticate': 'Basic',
      'public-key-pins': 'x',
      server: 'Apache-Coyote/1.1',
      'set-cookie': 'rememberMe=deleteMe',
      'strict-transport-security': 'max-age=9',
      'www-authenticate': 'Basic',
      'x-hop': '1',
      'x-powered-by': 'Servlet/3.0',
      'x-frame-options': 'ALLOWALL',
    };
    const fields = Object.entries({ ...kept, ...dropped }).map(([name, value]) => `${name}: ${value}`);
    const { headers, status } = await askBehind(answer('200 OK', fields));
    expect(status).toBe(200);
    expect(headers).toMatchObject({ ...kept, 'content-length': '4' });
    for (const [name, value] of Object.entries(dropped)) expect([name, headers[name]]).not.toEqual([name, value]);
    for (const name of [
      'set-cookie',
      'server',
      'x-powered-by',
      'x-hop',
      'access-control-allow-origin',
      'www-authenticate',
    ]) {
      expect(headers).not.toHaveProperty(name);
    }
  });

  it.each([200, 201, 202, 206])('with %i stays exactly that', async (status) => {
    expect(await askBehind(answer(`${status} Fine`, []))).toMatchObject({ status, isWhole: true });
  });

  it('without a length comes without one, and whole', async () => {
    const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n';
    const reply = await askBehind(({ socket }) => void socket.write(chunked));
    expect(reply).toMatchObject({ status: 200, isWhole: true, body: Buffer.from('fine') });
    expect(reply.headers).not.toHaveProperty('content-length');
  });

  it('for an empty file is an empty answer', async () => {
    const reply = await askBehind(answer('200 OK', [], ''));
    expect(reply).toMatchObject({ status: 200, isWhole: true, body: Buffer.alloc(0) });
    expect(reply.headers['content-length']).toBe('0');
  });

  it.each([
    ['a file', '200 OK', [], 200],
    ['a refusal', '404 Not Found', ['Content-Type: application/json'], 404],
    ['a page of HTML', '500 X', ['Content-Type: text/html'], 502],
    ['a redirect', '302 X', ['Location: http://127.0.0.1:9/'], 502],
  ])('for HEAD has no body when it is %s', async (_case, line, fields, status) => {
    const respond = answer(line, fields, '{"error":"x"}');
    const reply = await askBehind(respond, 'HEAD');
    expect([reply.status, reply.isWhole, reply.body.length]).toEqual([status, true, 0]);
    const got = await askBehind(respond);
    expect([got.status, got.headers['content-type']]).toEqual([status, reply.headers['content-type']]);
  });

  it('for HEAD has no body and the length of the file when it is large', async () => {
    const { get, gateway, token } = await start();
    const { uuid } = await uploadTo(gateway.url, token, fileOf(2_000_000));
    const reply = await get(uuid, { method: 'HEAD' });
    expect([reply.status, reply.body.length, reply.headers['content-length']]).toEqual([200, 0, '2000000']);
  });

  it('for a range is that range', async () => {
    const { get, gateway, token } = await start();
    const { uuid } = await uploadTo(gateway.url, token, '0123456789');
    const part = await get(uuid, { headers: { range: 'bytes=-3' } });
    expect([part.status, part.body.toString(), part.headers['content-range']]).toEqual([206, '789', 'bytes 7-9/10']);
    const whole = await get(uuid, { headers: { range: 'bytes=0-3', 'if-range': '"another"' } });
    expect([whole.status, whole.body.toString()]).toEqual([200, '0123456789']);
  });

  it('for a range beyond the file is 416 with the size of the file', async () => {
    const { get, gateway, token } = await start();
    const { uuid } = await uploadTo(gateway.url, token, '0123456789');
    const reply = await get(uuid, { headers: { range: 'bytes=50-' } });
    expect([reply.status, reply.headers['content-range']]).toEqual([416, 'bytes */10']);
  });

  it('for an unchanged file is 304 without a body, by tag and by date', async () => {
    const { get, gateway, token } = await start();
    const { uuid } = await uploadTo(gateway.url, token, '0123456789');
    const { etag = '', 'last-modified': modified = '' } = (await get(uuid)).headers;
    for (const headers of [{ 'if-none-match': etag }, { 'if-modified-since': modified }]) {
      const reply = await get(uuid, { headers });
      expect([reply.status, reply.isWhole, reply.body.length]).toEqual([304, true, 0]);
      expect(reply.headers['etag']).toBe(etag);
    }
  });
});
