import { describe, expect, test } from 'vitest';
import { bytesOf, curl, json, scratch, startCloud } from './kit.ts';

const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7919) % 251));

test('a user of the app gets the bytes back, with their type', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(bytes, { type: 'audio/amr' });
  const answer = await cloud.get(uuid, { accept: 'application/octet-stream' });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe('audio/amr');
  expect(answer.headers.get('content-length')).toBe('200000');
  expect(answer.headers.get('accept-ranges')).toBe('bytes');
  expect((await bytesOf(answer)).equals(bytes)).toBe(true);
});

describe('a restricted file needs its secret', () => {
  const restricted = { headers: { 'restrict-access': 'true' } };

  test('in the header or in the query', async () => {
    await using cloud = await startCloud();
    const { uuid, 'share-secret': secret } = await cloud.store(bytes, restricted);
    expect((await cloud.get(uuid, { 'share-secret': secret })).status).toBe(200);
    expect((await cloud.get(uuid, {}, `?em-redirect=true&share-secret=${secret}`)).status).toBe(200);
  });

  test.each([
    ['refuse', [401, 401, 401]],
    ['withSecret', [200, 403, 401]],
  ] as const)('and without a token, where that is %s, gets accordingly', async (anonymousDownloads, expected) => {
    await using cloud = await startCloud({ anonymousDownloads });
    const { uuid, 'share-secret': secret } = await cloud.store(bytes, restricted);
    const open = await cloud.store(bytes);
    const ask = async (file: string, query: string) => (await fetch(`${cloud.base}/chatfiles/${file}?${query}`)).status;
    const statuses = [
      await ask(uuid, `share-secret=${secret}`),
      await ask(uuid, 'share-secret=wrong'),
      await ask(open.uuid, 'share-secret=x'),
    ];
    expect(statuses).toEqual(expected);
    expect(await ask(uuid, '')).toBe(401);
  });

  test.each([403, 401] as const)('or gets %i, for the original, the thumbnail and the metadata', async (status) => {
    await using cloud = await startCloud({ wrongSecretStatus: status });
    const { uuid, 'share-secret': secret } = await cloud.store(bytes, restricted);
    const answers = [
      await cloud.get(uuid),
      await cloud.get(uuid, { 'share-secret': '' }),
      await cloud.get(uuid, { 'share-secret': secret.toLowerCase() }),
      await cloud.get(uuid, {}, `?share-secret=${secret}x`),
      await cloud.get(uuid, { thumbnail: 'true' }),
      await cloud.get(uuid, { accept: 'application/json' }),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(status);
      expect(await json(answer)).toMatchObject({ error_description: 'chatfile no permission' });
    }
  });

  test('even from the app itself, and with a token even if the secret is right', async () => {
    await using cloud = await startCloud();
    const { uuid, 'share-secret': secret } = await cloud.store(bytes, restricted);
    const app = { authorization: `Bearer ${cloud.issueToken('acme', 'chat', { kind: 'app' })}` };
    const url = `${cloud.base}/chatfiles/${uuid}`;
    expect((await fetch(url, { headers: app })).status).toBe(403);
    expect((await fetch(url, { headers: { ...app, 'share-secret': secret } })).status).toBe(200);
    expect((await fetch(url, { headers: { 'share-secret': secret } })).status).toBe(401);
  });
});

test('metadata comes instead of the file only when JSON alone is asked for', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(bytes, { type: 'image/png' });
  const body = await json(await cloud.get(uuid, { accept: 'application/json' }));
  expect(body).toMatchObject({ action: 'get', path: `/chatfiles/${uuid}`, uri: `${cloud.base}/chatfiles/${uuid}` });
  expect(body.entities[0]).toMatchObject({
    uuid,
    type: 'chatfile',
    'file-metadata': { 'content-length': 200_000, 'content-type': 'image/png' },
  });
  expect(JSON.stringify(body)).not.toContain('secret');
  for (const accept of ['*/*', 'application/json, */*', 'image/webp,*/*;q=0.8', 'application/json;q=0.5,text/html']) {
    expect((await cloud.get(uuid, { accept })).headers.get('content-type')).toBe('image/png');
  }
  const weighted = await cloud.get(uuid, { accept: 'Application/JSON;q=0.9' });
  expect(weighted.headers.get('content-type')).toMatch(/json/);
});

test('HEAD tells the same as GET, without the bytes', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(bytes, { type: 'image/png' });
  const url = `${cloud.base}/chatfiles/${uuid}`;
  const head = await fetch(url, { method: 'HEAD', ...cloud.as({ range: 'bytes=0-1' }) });
  expect(head.status).toBe(200);
  expect(head.headers.get('content-length')).toBe('200000');
  expect(head.headers.get('etag')).toBe((await cloud.get(uuid)).headers.get('etag'));
  expect(await head.text()).toBe('');
  expect((await fetch(`${cloud.base}/chatfiles/none`, { method: 'HEAD', ...cloud.as() })).status).toBe(404);
});

describe('a file is not found', () => {
  test('under an unknown uuid, and in another app', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    const other = { headers: { authorization: `Bearer ${cloud.issueToken('acme', 'other')}` } };
    const answers = [
      await cloud.get('0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae'),
      await cloud.get('..%2f..%2fetc%2fpasswd'),
      await fetch(`${cloud.url}/acme/other/chatfiles/${uuid}`, other),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(404);
      expect(await json(answer)).toMatchObject({ error: 'entity_not_found', error_description: 'file may not exists' });
    }
  });

  test('once it has expired, in time or by a switch, and its bytes are gone then', async () => {
    let now = Date.now();
    await using cloud = await startCloud({ fileLifetimeSeconds: 60, now: () => now });
    const first = await cloud.store(bytes);
    const second = await cloud.store(bytes);
    expect(cloud.expireFile(first.uuid)).toBe(true);
    expect(cloud.expireFile('none')).toBe(false);
    now += 59_999;
    expect((await cloud.get(second.uuid)).status).toBe(200);
    now += 1;
    for (const { uuid } of [first, second]) {
      const answer = await cloud.get(uuid);
      expect(answer.status).toBe(404);
      expect(await json(answer)).toMatchObject({ error: 'file_expired', error_description: `file ${uuid} is expired` });
    }
    expect(cloud.stats().storedBytes).toBe(0);
  });

  test('once it was forgotten', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    expect([cloud.forgetFile(uuid), cloud.forgetFile(uuid)]).toEqual([true, false]);
    expect((await cloud.get(uuid)).status).toBe(404);
  });
});

describe('ranges and conditions', () => {
  test('one range gets 206 and its bytes', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    const answer = await cloud.get(uuid, { range: 'bytes=1000-150999' });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe('bytes 1000-150999/200000');
    expect(answer.headers.get('content-length')).toBe('150000');
    expect((await bytesOf(answer)).equals(bytes.subarray(1000, 151_000))).toBe(true);
  });

  test('a range behind the end gets 416 and the size', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    const answer = await cloud.get(uuid, { range: 'bytes=200000-' });
    expect(answer.status).toBe(416);
    expect(answer.headers.get('content-range')).toBe('bytes */200000');
  });

  test('curl goes on with a download that it has half of', async () => {
    await using cloud = await startCloud();
    await using folder = await scratch();
    const { uuid } = await cloud.store(bytes);
    const half = await folder.put('half', bytes.subarray(0, 77_777));
    const printed = await curl(
      '-C',
      '-',
      '-o',
      half,
      '-w',
      '%{http_code} %{size_download}',
      '-H',
      `Authorization: Bearer ${cloud.token}`,
      `${cloud.base}/chatfiles/${uuid}`,
    );
    expect(printed).toBe(`206 ${200_000 - 77_777}`);
    expect(await curl(`file://${half}`).then((text) => text.length > 0)).toBe(true);
  });

  test('a client that has the file gets 304 with its tag and without a body', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    const first = await cloud.get(uuid);
    const etag = first.headers.get('etag') ?? '';
    const date = first.headers.get('last-modified') ?? '';
    for (const headers of [{ 'if-none-match': etag }, { 'if-modified-since': date }]) {
      const answer = await cloud.get(uuid, headers);
      expect(answer.status).toBe(304);
      expect(answer.headers.get('etag')).toBe(etag);
      expect(await answer.text()).toBe('');
    }
    expect((await cloud.get(uuid, { 'if-match': '"other"' })).status).toBe(412);
    expect((await cloud.get(uuid, { range: 'bytes=0-9', 'if-range': etag })).status).toBe(206);
    expect((await cloud.get(uuid, { range: 'bytes=0-9', 'if-range': '"other"' })).status).toBe(200);
  });
});

describe('as the page of a browser sees it', () => {
  test('a preflight needs no token and allows what it asks for', async () => {
    await using cloud = await startCloud();
    const asked = {
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'authorization,share-secret',
    };
    const answer = await fetch(`${cloud.base}/chatfiles/x`, {
      method: 'OPTIONS',
      headers: { origin: 'https://chat.example', ...asked },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://chat.example');
    expect(answer.headers.get('access-control-allow-headers')).toBe('authorization,share-secret');
  });

  test('errors carry the headers that let the page read them', async () => {
    await using cloud = await startCloud();
    const answer = await cloud.get('none', { origin: 'https://chat.example' });
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://chat.example');
    expect((await cloud.get('none')).headers.get('access-control-allow-origin')).toBe(null);
  });

  test('a callback turns JSON into a script with status 200, errors too', async () => {
    await using cloud = await startCloud();
    const answer = await fetch(`${cloud.base}/chatfiles/none?callback=show`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^application\/javascript/);
    expect(await answer.text()).toMatch(/^show\(\{"error":"unauthorized".*\}\)$/);
    const { uuid } = await cloud.store(bytes);
    expect((await bytesOf(await cloud.get(uuid, {}, '?callback=show'))).equals(bytes)).toBe(true);
    expect((await cloud.get('none', {}, '?callback=alert(1)//')).status).toBe(404);
  });
});

describe('a path that is not there', () => {
  test.each([
    ['GET', '/', 404, 'service_resource_not_found'],
    ['GET', '/acme/chat', 404, 'service_resource_not_found'],
    ['POST', '/acme/chat/sdk/chatfiles/part-upload', 404, 'service_resource_not_found'],
    ['GET', '/acme/chat/other', 404, 'service_resource_not_found'],
    ['GET', '/acme/chat/chatfiles', 405, 'web_application'],
    ['DELETE', '/acme/chat/chatfiles/x', 405, 'web_application'],
    ['GET', '/acme/chat/constructor', 404, 'service_resource_not_found'],
    ['GET', '/%E0%A4%A/chat/chatfiles/x', 401, 'unauthorized'],
  ])('%s %s gets %i', async (method, path, status, error) => {
    await using cloud = await startCloud();
    const answer = await fetch(cloud.url + path, { method });
    expect(answer.status).toBe(status);
    expect(await json(answer)).toMatchObject({ error });
  });

  test('or that is of an app which does not exist', async () => {
    await using cloud = await startCloud({ apps: ['acme/chat'] });
    const answer = await fetch(`${cloud.url}/acme/Chat/chatfiles/x`);
    expect(answer.status).toBe(404);
    expect((await json(answer)).error_description).toBe(
      'Could not find application for acme/Chat from URI: acme/Chat/chatfiles/x',
    );
    expect(() => cloud.issueToken('acme', 'none')).toThrow(/Could not find application/);
  });
});
