import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { multipart, rawSocket, startCloud } from './kit.ts';
import type { Cloud } from './kit.ts';

test('it starts on free ports and closes them', async () => {
  const emulator = await createEmulator();
  expect(emulator.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(emulator.adminUrl).not.toBe(emulator.url);
  await emulator[Symbol.asyncDispose]();
  await expect(fetch(emulator.url)).rejects.toThrow(/fetch failed/);
  await expect(fetch(emulator.adminUrl)).rejects.toThrow(/fetch failed/);
});

test('a port that is taken fails the start, and the other port is let go', async () => {
  await using first = await createEmulator();
  const adminPort = Number(new URL(first.adminUrl).port);
  await expect(createEmulator({ adminPort })).rejects.toThrow(/EADDRINUSE/);
});

test('several run side by side and know nothing of one another', async () => {
  await using one = await startCloud();
  await using other = await startCloud();
  const { uuid } = await one.store(Buffer.from('x'));
  expect((await other.get(uuid)).status).toBe(404);
  expect((await other.get(uuid, { Authorization: `Bearer ${one.token}` })).status).toBe(401);
});

test('an app token may upload and download like any user', async () => {
  await using cloud = await startCloud();
  const headers = { Authorization: `Bearer ${cloud.issueToken('acme', 'chat', { kind: 'app' })}` };
  const { uuid } = await cloud.store(Buffer.from('x'), { headers });
  expect((await cloud.get(uuid, headers)).status).toBe(200);
  expect(cloud.stats().users).toBe(1);
});

test('a token of either layout opens the same doors', async () => {
  await using cloud = await startCloud();
  for (const layout of ['short', 'long'] as const) {
    const headers = { Authorization: `Bearer ${cloud.issueToken('acme', 'chat', { layout })}` };
    const { uuid } = await cloud.store(Buffer.from('x'), { headers });
    expect((await cloud.get(uuid, headers)).status).toBe(200);
  }
});

describe('nothing that a client sends brings it down', () => {
  const lives = async (cloud: Cloud) => (await cloud.upload(Buffer.from('x'))).status === 200;

  test.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['no version', 'GET /\r\n\r\n'],
    ['a huge head', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`],
    ['two lengths', 'POST /a/b/chatfiles HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    [
      'a length and chunks',
      'POST /a/b/users HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
    ['another expectation', 'POST /a/b/users HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n'],
    ['no host', 'GET /a/b/chatfiles/x HTTP/1.0\r\n\r\n'],
    ['the star', 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
    ['a whole address', 'GET http://other/a/b/chatfiles/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
    [
      'bad escapes',
      'GET /%/%zz/chatfiles/%00?callback=%&access_token=% HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    ],
    ['a tunnel', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['an upgrade', 'GET /a/b/chatfiles/x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ])('%s', async (_what, text) => {
    await using cloud = await startCloud();
    using raw = await rawSocket(cloud.url);
    raw.send(text);
    raw.socket.end();
    await raw.all();
    expect(await lives(cloud)).toBe(true);
  });

  test('pipelined requests are answered in their order', async () => {
    await using cloud = await startCloud();
    using raw = await rawSocket(cloud.url);
    const line = (name: string, more = '') => `GET /a/b/${name} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
    raw.send(line('chatfiles/x') + line('other') + line('chatfiles', 'Connection: close\r\n'));
    expect([...(await raw.all()).matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      '401',
      '404',
      '405',
    ]);
  });

  test('any multipart body, whole or damaged', async () => {
    await using cloud = await startCloud();
    const whole = multipart('some contents of the file');
    const damaged = fc
      .array(
        fc.tuple(fc.nat(whole.length), fc.nat(8), fc.constantFrom('', '\r\n', '--b', '"', '\0', '--', ';', ': ')),
        { maxLength: 3 },
      )
      .map((cuts) =>
        cuts.reduce((text, [at, length, instead]) => text.slice(0, at) + instead + text.slice(at + length), whole),
      );
    const pieces = fc
      .array(
        fc.constantFrom(
          '--b',
          '--',
          '\r\n',
          '\r\n\r\n',
          'Content-Disposition: form-data; name="file"',
          'Content-Type: a/b',
          'x',
          '\0',
        ),
        { maxLength: 12 },
      )
      .map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(fc.oneof(damaged, pieces), async (body) => {
        const headers = { 'content-type': 'multipart/form-data; boundary=b' };
        const init = { method: 'POST', body, signal: AbortSignal.timeout(4000), ...cloud.as(headers) };
        const answer = await fetch(`${cloud.base}/chatfiles`, init);
        await answer.text();
        return [200, 400, 413].includes(answer.status);
      }),
      { numRuns: 300 },
    );
    expect(await lives(cloud)).toBe(true);
    const stored = cloud.stats().storedBytes;
    expect(stored).toBeLessThan(300 * whole.length);
  });

  test('any content type, token, secret, range or condition', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(Buffer.alloc(20_000));
    const value = fc.stringMatching(/^[!-~]([ -~]{0,40}[!-~])?$/);
    const name = fc.constantFrom(
      'range',
      'if-none-match',
      'if-range',
      'if-modified-since',
      'accept',
      'share-secret',
      'thumbnail',
      'origin',
      'authorization',
    );
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, value), fc.string(), async (headers, query) => {
        const answer = await cloud.get(uuid, headers, `?${encodeURI(query.toWellFormed())}`);
        await answer.arrayBuffer();
        return answer.status < 500;
      }),
      { numRuns: 200 },
    );
    await fc.assert(
      fc.asyncProperty(value, async (type) => {
        const init = { method: 'POST', body: multipart('x'), ...cloud.as({ 'content-type': type }) };
        const answer = await fetch(`${cloud.base}/chatfiles`, init);
        return answer.status === 400 || answer.status === 415;
      }),
      { numRuns: 100 },
    );
    expect(await lives(cloud)).toBe(true);
  });

  test('the type of a part, which comes back as a header', async () => {
    await using cloud = await startCloud();
    const body = multipart('x').replace('application/octet-stream', 'a/b\u0001; x');
    const init = { method: 'POST', body, ...cloud.as({ 'content-type': 'multipart/form-data; boundary=b' }) };
    const answer = await fetch(`${cloud.base}/chatfiles`, init);
    expect(answer.status).toBe(200);
    const { uuid } = ((await answer.json()) as { entities: [{ uuid: string }] }).entities[0];
    expect((await cloud.get(uuid)).headers.get('content-type')).toBe('application/octet-stream');
  });
});
