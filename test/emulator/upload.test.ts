import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { lastBoundary } from '../../src/emulator/multipart.ts';
import { bytesOf, curl, eventually, filesIn, json, multipart, rawSocket, scratch, startCloud } from './kit.ts';

const MEBIBYTE = 1024 * 1024;
const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

test('the answer has exactly the fields of the page', async () => {
  await using cloud = await startCloud();
  const answer = await cloud.upload(Buffer.from('picture'), { headers: { 'restrict-access': 'true' } });
  expect(answer.status).toBe(200);
  const body = await json(answer);
  expect(Object.keys(body)).toEqual([
    'action',
    'application',
    'path',
    'uri',
    'entities',
    'timestamp',
    'duration',
    'organization',
    'applicationName',
  ]);
  expect(body).toMatchObject({
    action: 'post',
    path: '/chatfiles',
    uri: `${cloud.base}/chatfiles`,
    organization: 'acme',
    applicationName: 'chat',
  });
  expect(body.application).toMatch(/^[0-9a-f-]{36}$/);
  expect(Object.keys(body.entities[0])).toEqual(['uuid', 'type', 'share-secret']);
  expect(body.entities[0]['share-secret']).toMatch(/^[\w-]{48}$/);
  expect(Number.isInteger(body.timestamp) && Number.isInteger(body.duration)).toBe(true);
});

test('uri mirrors the host that the client asked', async () => {
  await using cloud = await startCloud();
  await using folder = await scratch();
  const file = await folder.put('a.txt', Buffer.from('hello'));
  const printed = await curl(
    '-H',
    'Host: files.example.com:8443',
    '-H',
    `Authorization: Bearer ${cloud.token}`,
    '-F',
    `file=@${file}`,
    `${cloud.base}/chatfiles`,
  );
  expect(JSON.parse(printed).uri).toBe('http://files.example.com:8443/acme/chat/chatfiles');
});

describe('a file is restricted', () => {
  test.each([
    ['presence', undefined, false],
    ['presence', 'true', true],
    ['presence', 'false', true],
    ['presence', '', true],
    ['value', undefined, false],
    ['value', 'true', true],
    ['value', 'TRUE', true],
    ['value', 'false', false],
    ['value', '', false],
  ] as const)('by %s, with restrict-access %j: %j', async (restrictAccessBy, value, restricted) => {
    await using cloud = await startCloud({ restrictAccessBy });
    const headers: Record<string, string> = value === undefined ? {} : { 'restrict-access': value };
    expect('share-secret' in (await cloud.store(Buffer.from('x'), { headers }))).toBe(restricted);
  });
});

describe('the size', () => {
  test('of exactly 10 MiB passes, and one byte more stores nothing and gets 413', async () => {
    await using folder = await scratch();
    await using cloud = await startCloud({ storage: { dir: folder.path } });
    const { uuid } = await cloud.store(Buffer.alloc(10 * MEBIBYTE, 7));
    expect((await bytesOf(await cloud.get(uuid))).length).toBe(10 * MEBIBYTE);
    const refused = await cloud.upload(Buffer.alloc(10 * MEBIBYTE + 1));
    expect(refused.status).toBe(413);
    expect(await json(refused)).toMatchObject({
      error: 'file exceeding maximum limit',
      error_description: 'the file size exceeds the maximum limit.',
    });
    expect(cloud.stats()).toMatchObject({ storedFiles: 1, storedBytes: 10 * MEBIBYTE });
    expect(await filesIn(folder.path)).toHaveLength(1);
  });

  test('may be told by nobody: a chunked upload is counted', async () => {
    await using folder = await scratch();
    await using cloud = await startCloud({ maxFileBytes: 1000, storage: { dir: folder.path } });
    const small = await folder.put('small', Buffer.alloc(1000));
    const large = await folder.put('large', Buffer.alloc(5 * MEBIBYTE));
    const send = (file: string) =>
      curl(
        '-w',
        '%{http_code}',
        '-o',
        '/dev/null',
        '-H',
        'Transfer-Encoding: chunked',
        '-H',
        'Expect:',
        '-H',
        `Authorization: Bearer ${cloud.token}`,
        '-F',
        `file=@${file}`,
        `${cloud.base}/chatfiles`,
      );
    expect(await send(small)).toBe('200');
    expect(await send(large)).toBe('413');
    expect(cloud.stats().storedFiles).toBe(1);
  });

  test('of other parts counts too, so that they cannot fill the emulator', async () => {
    await using cloud = await startCloud({ maxFileBytes: 1000 });
    const answer = await cloud.upload(Buffer.from('x'), { before: { other: 'x'.repeat(100_000) } });
    expect(answer.status).toBe(413);
  });
});

describe('a refused upload can be read by its sender', () => {
  test.each([
    ['curl that asks first', []],
    ['curl that sends at once', ['-H', 'Expect:']],
    ['curl that sends chunks', ['-H', 'Expect:', '-H', 'Transfer-Encoding: chunked']],
  ])('%s', async (_who, extra) => {
    await using cloud = await startCloud();
    await using folder = await scratch();
    const file = await folder.put('large', Buffer.alloc(20 * MEBIBYTE));
    const send = (token: string) =>
      curl('-i', ...extra, '-H', `Authorization: Bearer ${token}`, '-F', `file=@${file}`, `${cloud.base}/chatfiles`);
    expect(await send(cloud.token)).toMatch(/HTTP\/1.1 413 [^]*connection: close[^]*the file size exceeds/i);
    expect(await send('nonsense')).toMatch(/HTTP\/1.1 401 [^]*corrupt access token/);
  });

  test("Node's fetch", async () => {
    await using cloud = await startCloud();
    expect((await json(await cloud.upload(Buffer.alloc(20 * MEBIBYTE)))).error).toBe('file exceeding maximum limit');
    const denied = await cloud.upload(Buffer.alloc(20 * MEBIBYTE), { headers: { Authorization: 'Bearer x' } });
    expect((await json(denied)).error).toBe('auth_bad_access_token');
  });

  test('without sending anything, when it waits for 100 Continue', async () => {
    await using cloud = await startCloud();
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    const headers = {
      expect: '100-continue',
      'content-length': 5000,
      'content-type': 'multipart/form-data; boundary=b',
    };
    const req = request(`${cloud.base}/chatfiles`, { method: 'POST', headers }, (res) => resolve(res.statusCode));
    req.on('continue', () => reject(new Error('it was told to go on')));
    req.on('error', reject);
    req.flushHeaders();
    expect(await promise).toBe(401);
    req.destroy();
  });
});

describe('multipart bodies of the world', () => {
  test('the official curl sample, with two boundaries of which the last is real', async () => {
    await using cloud = await startCloud();
    await using folder = await scratch();
    const file = await folder.put('a.jpg', Buffer.from('a picture'));
    const printed = await curl(
      '-H',
      `Authorization: Bearer ${cloud.token}`,
      '-H',
      'restrict-access: true',
      '-H',
      'Content-Type: multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW',
      '-F',
      `file=@${file}`,
      `${cloud.base}/chatfiles`,
    );
    const { uuid, 'share-secret': secret } = JSON.parse(printed).entities[0];
    expect(await (await cloud.get(uuid, { 'share-secret': secret })).text()).toBe('a picture');
  });

  test.each([
    ['multipart/form-data; boundary=a', 'a'],
    ['multipart/form-data; boundary=a; boundary=b', 'b'],
    ['multipart/form-data; boundary="a b"; charset=utf-8', 'a b'],
    ['multipart/form-data; charset=utf-8; boundary=*****', '*****'],
    ['multipart/form-data; boundary="a\\"b"', 'a"b'],
    ['multipart/form-data; BOUNDARY = a', 'a'],
    ['multipart/form-data', undefined],
  ])('the boundary of %s is %j', (contentType, boundary) => {
    expect(lastBoundary(contentType)).toBe(boundary);
  });

  test('a text part without a file name is a file too', async () => {
    await using cloud = await startCloud();
    const printed = await curl(
      '-H',
      `Authorization: Bearer ${cloud.token}`,
      '-F',
      'file="just text"',
      `${cloud.base}/chatfiles`,
    );
    const { uuid } = JSON.parse(printed).entities[0];
    const answer = await cloud.get(uuid);
    expect(answer.headers.get('content-type')).toBe('text/plain');
    expect(await answer.text()).toBe('just text');
  });

  test('other parts may stand before and behind the file', async () => {
    await using cloud = await startCloud();
    const form = { app: 'acme#chat', id: '1', path: '/sdcard/a.jpg' };
    const { uuid } = await cloud.store(Buffer.from('x'), { before: form, after: { 'thumbnail-width': '90' } });
    expect(await (await cloud.get(uuid)).text()).toBe('x');
  });

  test('of several files the first counts', async () => {
    await using cloud = await startCloud();
    const form = new FormData();
    for (const text of ['first', 'second']) form.append('file', new Blob([text]), text);
    const answer = await json(await fetch(`${cloud.base}/chatfiles`, { method: 'POST', body: form, ...cloud.as() }));
    expect(await (await cloud.get(answer.entities[0].uuid)).text()).toBe('first');
    expect(cloud.stats().storedFiles).toBe(1);
  });

  test('an empty file is a file', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(Buffer.alloc(0));
    const answer = await cloud.get(uuid);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe('0');
  });

  test.each([
    ['no parts', '--b--\r\n', 'multipart/form-data; boundary=b', 400],
    ['another part only', multipart('x').replace('"file"', '"other"'), 'multipart/form-data; boundary=b', 400],
    ['no final boundary', multipart('x').slice(0, -9), 'multipart/form-data; boundary=b', 400],
    ['another boundary', multipart('x', 'c'), 'multipart/form-data; boundary=b', 400],
    ['no boundary named', multipart('x'), 'multipart/form-data', 400],
    ['an empty boundary', multipart('x'), 'multipart/form-data; boundary=""', 400],
    ['a part without a head', '--b\r\n\r\nx\r\n--b--\r\n', 'multipart/form-data; boundary=b', 400],
    [
      'a head that does not end',
      '--b\r\nContent-Disposition: form-data; name="file"',
      'multipart/form-data; boundary=b',
      400,
    ],
    ['nothing', '', 'multipart/form-data; boundary=b', 400],
    ['a form of another kind', 'file=x', 'application/x-www-form-urlencoded', 415],
    ['JSON', '{}', 'application/json', 415],
  ])('%s: nothing is stored', async (_what, body, type, status) => {
    await using folder = await scratch();
    await using cloud = await startCloud({ storage: { dir: folder.path } });
    const answer = await fetch(`${cloud.base}/chatfiles`, {
      method: 'POST',
      body,
      ...cloud.as({ 'content-type': type }),
    });
    expect(answer.status).toBe(status);
    if (status === 400) {
      expect(await json(answer)).toMatchObject({
        error: 'illegal_argument',
        error_description: 'file must be provided.',
      });
    }
    expect(cloud.stats()).toMatchObject({ storedFiles: 0, storedBytes: 0 });
    expect(await filesIn(folder.path)).toEqual([]);
  });
});

test('an upload that breaks off leaves nothing behind', async () => {
  await using folder = await scratch();
  await using cloud = await startCloud({ storage: { dir: folder.path } });
  using raw = await rawSocket(cloud.url);
  raw.send(
    `POST /acme/chat/chatfiles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cloud.token}\r\n` +
      `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n` +
      multipart('x'.repeat(300_000)).slice(0, 250_000),
  );
  await eventually(() => cloud.stats().storedBytes > 100_000);
  expect(await filesIn(folder.path)).toHaveLength(1);
  raw.socket.resetAndDestroy();
  await eventually(async () => (await filesIn(folder.path)).length === 0);
  expect(cloud.stats()).toMatchObject({ storedFiles: 0, storedBytes: 0 });
  expect(cloud.received().at(-1)).toMatchObject({ outcome: 'broken-off' });
  expect(cloud.received().at(-1)).not.toHaveProperty('fileUuid');
});

test('the record has the hashes of the body and of the file, and the headers as they were sent', async () => {
  await using cloud = await startCloud();
  const body = multipart('contents');
  const printed = await curl(
    '-H',
    `AUTHORIZATION: Bearer ${cloud.token}`,
    '-H',
    'Content-Type: multipart/form-data; boundary=b',
    '--data-binary',
    body,
    `${cloud.base}/chatfiles?chat-type=CHAT`,
  );
  const entry = cloud.received().at(-1);
  expect(entry).toMatchObject({
    method: 'POST',
    path: '/acme/chat/chatfiles?chat-type=CHAT',
    interface: 'upload',
    remoteAddress: '127.0.0.1',
    status: 200,
    bytesIn: body.length,
    bodySha256: sha256(body),
    fileSha256: sha256('contents'),
    fileUuid: JSON.parse(printed).entities[0].uuid,
  });
  expect(entry?.headers).toContainEqual(['AUTHORIZATION', `Bearer ${cloud.token}`]);
});

test('hashing can be switched off', async () => {
  await using cloud = await startCloud({ hashUploads: false });
  await cloud.store(Buffer.from('x'));
  expect(cloud.received().at(-1)).toMatchObject({ status: 200 });
  expect(cloud.received().at(-1)).not.toHaveProperty('bodySha256');
  expect(cloud.received().at(-1)).not.toHaveProperty('fileSha256');
});
