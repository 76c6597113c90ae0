import { Agent, request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { createFaults } from '../../src/emulator/faults.ts';
import type { Fault } from '../../src/emulator/faults.ts';
import { bytesOf, curl, curlCode, eventually, json, multipart, rawSocket, scratch, startCloud } from './kit.ts';
import type { Cloud } from './kit.ts';

const bytes = Buffer.alloc(300_000, 'abcdefghij');

// curl's exit codes for the ways in which an answer can break.
const PARTIAL_FILE = 18;
const TIMED_OUT = 28;
const EMPTY_REPLY = 52;
const RECEIVE_ERROR = 56;

const download = (cloud: Cloud, uuid: string, ...extra: string[]): string[] => [
  ...extra,
  '-H',
  `Authorization: Bearer ${cloud.token}`,
  `${cloud.base}/chatfiles/${uuid}`,
];

describe('which requests a fault is for', () => {
  const kindsOf = (faults: Fault[], requests: [string, 'upload' | 'download' | 'token'][]) => {
    const set = createFaults(() => 0);
    for (const fault of faults) set.add(fault);
    return requests.map(([method, wanted]) => set.plan(method, wanted).kind);
  };
  const get: [string, 'download'] = ['GET', 'download'];
  const post: [string, 'upload'] = ['POST', 'upload'];

  test.each([
    ['all', {}, [get, post, get], ['hang', 'hang', 'hang']],
    ['the first', { times: 1 }, [get, post], ['hang', undefined]],
    ['all but the first two', { after: 2 }, [get, get, get, get], [undefined, undefined, 'hang', 'hang']],
    ['the second', { after: 1, times: 1 }, [get, get, get], [undefined, 'hang', undefined]],
    ['those of a method', { match: { method: 'post' } }, [get, post], [undefined, 'hang']],
    ['those of an interface', { match: { interface: 'upload' as const } }, [get, post], [undefined, 'hang']],
    [
      'the second upload',
      { match: { interface: 'upload' as const }, after: 1 },
      [post, get, post],
      [undefined, undefined, 'hang'],
    ],
  ])('%s', (_which, targeting, requests, kinds) => {
    expect(kindsOf([{ kind: 'hang', ...targeting }], requests)).toEqual(kinds);
  });

  test('the first that was set goes first, and the next one waits for the next request', () => {
    expect(
      kindsOf(
        [
          { kind: 'hang', times: 1 },
          { kind: 'reset', times: 1 },
        ],
        [get, get, get],
      ),
    ).toEqual(['hang', 'reset', undefined]);
  });

  test('for a while only, by the clock', () => {
    let now = 0;
    const faults = createFaults(() => now);
    faults.add({ kind: 'reset', forMs: 100 });
    now = 99;
    expect(faults.plan('GET', 'download').kind).toBe('reset');
    now = 100;
    expect(faults.plan('GET', 'download').kind).toBe(undefined);
    expect(faults.list()).toEqual([]);
  });

  test('latencies add up with jitter, and go together with another fault', () => {
    const faults = createFaults(
      () => 0,
      () => 0.5,
    );
    faults.add({ kind: 'latency', ms: 100, jitterMs: 40 });
    faults.add({ kind: 'latency', ms: 7 });
    faults.add({ kind: 'unavailable', times: 1 });
    expect(faults.plan('GET', 'download')).toMatchObject({ delayMs: 127, kind: 'unavailable' });
    expect(faults.plan('GET', 'download')).toMatchObject({ delayMs: 127, kind: 'latency', fault: undefined });
  });

  test('what is left of each can be listed, and all be taken back', () => {
    const faults = createFaults(() => 0);
    faults.add({ kind: 'unavailable', times: 3 });
    faults.plan('GET', 'download');
    expect(faults.list()).toEqual([{ kind: 'unavailable', times: 2 }]);
    faults.clear();
    expect(faults.plan('GET', 'download').kind).toBe(undefined);
  });

  test.each([
    { kind: 'explode' },
    { kind: 'latency' },
    { kind: 'latency', ms: -1 },
    { kind: 'status', status: 100 },
    { kind: 'status', status: 500, headers: { 'x y': '1' } },
    { kind: 'status', status: 500, headers: { x: 'a\r\nb: c' } },
    { kind: 'redirect' },
    { kind: 'redirect', location: 'http://[' },
    { kind: 'redirect', location: 'http://a/\r\nx: y' },
    { kind: 'redirect', location: '/', status: 200 },
    { kind: 'reset', where: 'nowhere' },
    { kind: 'hang', times: 0 },
    { kind: 'hang', match: { interface: 'x' } },
    { kind: 'hang', unknown: 1 },
  ])('%j is not one', (fault) => {
    // @ts-expect-error -- what a program that is not type-checked might give
    expect(() => createFaults(() => 0).add(fault)).toThrow(/Invalid|expected|Unrecognized|HTTP|URL/);
  });
});

test('a burst of 503 ends after its number', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(bytes);
  cloud.fault({ kind: 'unavailable', times: 2, retryAfterSeconds: 3 });
  const statuses: number[] = [];
  for (let count = 0; count < 3; count += 1) {
    const answer = await cloud.get(uuid);
    statuses.push(answer.status);
    if (count === 0) expect(answer.headers.get('retry-after')).toBe('3');
    if (count < 2) expect(await json(answer)).toMatchObject({ error_description: 'Service Unavailable' });
  }
  expect(statuses).toEqual([503, 503, 200]);
  expect(cloud.received().map(({ fault }) => fault)).toEqual([undefined, 'unavailable', 'unavailable', undefined]);
});

describe('any status with any headers and body', () => {
  test.each([
    [
      'text',
      { status: 502, body: '<h1>Bad Gateway</h1>', headers: { 'Content-Type': 'text/html' } },
      '<h1>Bad Gateway</h1>',
    ],
    ['JSON', { status: 418, body: { a: [1, null] } }, '{"a":[1,null]}'],
    ['nothing', { status: 204, body: '' }, ''],
  ])('%s', async (_what, fault, body) => {
    await using cloud = await startCloud();
    cloud.fault({ kind: 'status', ...fault });
    const answer = await cloud.get('x');
    expect(answer.status).toBe(fault.status);
    expect(await answer.text()).toBe(body);
  });

  test("the cloud's error shape when no body is given", async () => {
    await using cloud = await startCloud();
    cloud.fault({ kind: 'status', status: 429, headers: { 'Retry-After': '7' } });
    const answer = await cloud.get('x');
    expect(answer.headers.get('retry-after')).toBe('7');
    expect(await json(answer)).toMatchObject({ error: 'reach_limit' });
  });
});

test('a redirect names where to go', async () => {
  await using cloud = await startCloud();
  cloud.fault({ kind: 'redirect', location: 'http://127.0.0.1:9/elsewhere', status: 307 });
  const answer = await fetch(`${cloud.base}/chatfiles/x`, { redirect: 'manual' });
  expect(answer.status).toBe(307);
  expect(answer.headers.get('location')).toBe('http://127.0.0.1:9/elsewhere');
});

test('latency delays the answer, and is cut short when the client leaves', async () => {
  await using cloud = await startCloud();
  cloud.fault({ kind: 'latency', ms: 60, jitterMs: 20, times: 1 });
  expect((await cloud.get('x')).status).toBe(404);
  expect(cloud.received()[0]?.durationMs).toBeGreaterThanOrEqual(59);
  cloud.fault({ kind: 'latency', ms: 3_600_000 });
  expect(await curlCode('-m', '0.2', ...download(cloud, 'x'))).toBe(TIMED_OUT);
  await eventually(() => cloud.received()[1]?.outcome === 'broken-off');
});

describe('an answer that never comes, or stops', () => {
  test('hangs before anything is done', async () => {
    await using cloud = await startCloud();
    cloud.fault({ kind: 'hang' });
    expect(await curlCode('-m', '0.3', ...download(cloud, 'x'))).toBe(TIMED_OUT);
    await eventually(() => cloud.received()[0]?.outcome === 'broken-off');
    expect(cloud.received()[0]).not.toHaveProperty('status');
  });

  test('hangs when the work is done: the file is there, and nobody was told', async () => {
    await using cloud = await startCloud();
    cloud.fault({ kind: 'hang', where: 'unanswered', times: 1 });
    const given = new AbortController();
    const upload = fetch(`${cloud.base}/chatfiles`, {
      method: 'POST',
      body: multipart('x'),
      signal: given.signal,
      ...cloud.as({ 'content-type': 'multipart/form-data; boundary=b' }),
    });
    await eventually(() => cloud.stats().storedFiles === 1);
    given.abort();
    await expect(upload).rejects.toThrow(/aborted/);
  });

  test('hangs in the middle', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    cloud.fault({ kind: 'hang', where: 'middle', afterBytes: 1234 });
    const printed = await curl('-m', '0.5', ...download(cloud, uuid)).catch(
      (failure: { stdout: string }) => failure.stdout,
    );
    expect(printed).toHaveLength(1234);
  });

  test('closing the emulator ends what hangs', async () => {
    const cloud = await startCloud();
    cloud.fault({ kind: 'hang' });
    const failed = cloud.get('x').then(
      () => false,
      () => true,
    );
    await eventually(() => cloud.received().length === 1);
    await cloud[Symbol.asyncDispose]();
    expect(await failed).toBe(true);
  });
});

describe('a connection that is reset', () => {
  test.each([
    ['before anything is done', { where: 'start' as const }],
    ['when the work is done', { where: 'unanswered' as const }],
  ])('%s', async (_when, fault) => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    cloud.fault({ kind: 'reset', times: 1, ...fault });
    expect([EMPTY_REPLY, RECEIVE_ERROR]).toContain(await curlCode(...download(cloud, uuid)));
    expect(cloud.received().at(-1)).toMatchObject({ fault: 'reset', outcome: 'broken-off' });
    expect((await cloud.get(uuid)).status).toBe(200);
  });

  test('in the middle, after the head and some bytes', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    cloud.fault({ kind: 'reset', where: 'middle', afterBytes: 5000 });
    const failure = await curl(...download(cloud, uuid)).catch((thrown: { code: number; stdout: string }) => thrown);
    expect(failure).toMatchObject({ code: RECEIVE_ERROR });
    expect((failure as { stdout: string }).stdout).toHaveLength(5000);
  });

  test('in the middle of a JSON answer too, when the upload was kept', async () => {
    await using cloud = await startCloud();
    cloud.fault({ kind: 'reset', where: 'middle', match: { method: 'POST' } });
    const answer = await cloud.upload(bytes);
    expect(answer.status).toBe(200);
    await expect(answer.json()).rejects.toThrow(/terminated/);
    expect(cloud.stats().storedFiles).toBe(1);
  });
});

test('a truncated body ends too soon, and cleanly', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(bytes);
  cloud.fault({ kind: 'truncate', times: 1 });
  expect(await curlCode(...download(cloud, uuid))).toBe(PARTIAL_FILE);
  expect(cloud.received().at(-1)).toMatchObject({
    fault: 'truncate',
    bytesOut: bytes.length / 2,
    outcome: 'broken-off',
  });
});

describe('a length that is wrong', () => {
  test('too small: the client gets less than there is', async () => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(bytes);
    cloud.fault({ kind: 'wrong-length', by: -1000, times: 1 });
    expect(await curl(...download(cloud, uuid))).toHaveLength(bytes.length - 1000);
  });

  test('too large: the client waits for more until the connection ends', async () => {
    await using cloud = await startCloud({ keepAliveMs: 100 });
    const { uuid } = await cloud.store(bytes);
    cloud.fault({ kind: 'wrong-length', by: 10, times: 1 });
    expect(await curlCode(...download(cloud, uuid))).toBe(PARTIAL_FILE);
  });
});

describe('an answer while the upload is still being sent', () => {
  const start = (cloud: Cloud, raw: { send(text: string): void }) =>
    raw.send(
      `POST /acme/chat/chatfiles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cloud.token}\r\n` +
        `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000000\r\n\r\n${multipart('x').slice(0, 90)}`,
    );

  test('comes before the body has, and the rest is read', async () => {
    await using cloud = await startCloud();
    cloud.fault({ kind: 'early-answer', status: 401, body: { early: true } });
    using raw = await rawSocket(cloud.url);
    let text = '';
    raw.socket.on('data', (chunk) => (text += chunk.toString()));
    start(cloud, raw);
    await eventually(() => text.includes('{"early":true}'));
    expect(text).toMatch(/^HTTP\/1.1 401 [^]*connection: close/i);
    raw.send('x'.repeat(1_000_000));
    await eventually(() => (cloud.received()[0]?.bytesIn ?? 0) > 1_000_000);
    expect(cloud.stats().storedFiles).toBe(0);
  });

  test.each([
    ['left lying until the connection is closed', 'ignore'],
    ['cut off', 'reset'],
  ] as const)('and the rest is %s', async (_what, rest) => {
    await using cloud = await startCloud();
    cloud.fault({ kind: 'early-answer', rest, afterBytes: 0, body: 'early' });
    using raw = await rawSocket(cloud.url);
    start(cloud, raw);
    expect(await raw.all()).toMatch(/^HTTP\/1.1 413 [^]*early$/);
    expect(cloud.received()[0]).toMatchObject({ status: 413, bytesIn: 0 });
  });

  test('is understood by curl', async () => {
    await using cloud = await startCloud();
    await using folder = await scratch();
    const file = await folder.put('large', Buffer.alloc(9_000_000));
    cloud.fault({ kind: 'early-answer', status: 403, afterBytes: 100_000 });
    const printed = await curl(
      '-H',
      'Expect:',
      '-H',
      `Authorization: Bearer ${cloud.token}`,
      '-F',
      `file=@${file}`,
      `${cloud.base}/chatfiles`,
    );
    expect(JSON.parse(printed)).toMatchObject({ error_description: 'chatfile no permission' });
  });
});

test('a short keep-alive closes the connection under a client that would use it again', async () => {
  await using cloud = await startCloud();
  cloud.fault({ kind: 'keep-alive', ms: 0 });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const req = request(`${cloud.base}/chatfiles/x`, { agent }, (res) => {
    res.resume();
    req.socket?.once('close', () => resolve(res.headers.connection));
  });
  req.on('error', reject).end();
  expect(await promise).toBe('keep-alive');
  agent.destroy();
});

test('the usual keep-alive is an option and is announced', async () => {
  await using cloud = await startCloud({ keepAliveMs: 2000 });
  expect(await curl('-i', ...download(cloud, 'x'))).toMatch(/keep-alive: timeout=2/i);
});

test('clearing the faults brings the cloud back', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(bytes);
  cloud.fault({ kind: 'unavailable' });
  expect((await cloud.get(uuid)).status).toBe(503);
  cloud.clearFaults();
  expect((await bytesOf(await cloud.get(uuid))).equals(bytes)).toBe(true);
});
