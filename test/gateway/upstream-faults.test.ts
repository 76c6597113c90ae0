import { readdirSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Fault } from '../../src/emulator/emulator.ts';
import { ask, multipartOf, type Reply, sha256 } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { type Running, startGateway } from '../kit/gateway.ts';
import { type RawRequest, type RawUpstream, startRawUpstream } from '../kit/raw-upstream.ts';

/** Enough that nothing here waits for a slot. */
const UNLIMITED = ['quota.perSecond=5000'];
/** Times short enough to wait for. */
const IMPATIENT = ['upstream.answerTimeoutMs=300', 'upstream.idleTimeoutMs=300'];
const OPEN = { limiter: { algorithm: 'off' as const } };
const FILE = `${CHATFILES}/0a0b0c0d-1111-2222-3333-444455556666`;
const TOKEN = 'YWMtsomebody';
/** Above what is held back of a body until it is known to be whole. */
const LARGE = 400_000;

const okay = (body: string | Buffer, fields = ''): Buffer =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`),
    Buffer.from(body),
  ]);

async function startBehind(
  answer: (request: RawRequest, count: number) => void,
  set: string[] = [],
): Promise<{ upstream: RawUpstream; url: string; summaries: Running['summaries'] }> {
  const upstream = await startRawUpstream(answer);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const { gateway, summaries } = await startGateway({ upstreamUrl: upstream.url, set: [...UNLIMITED, ...set] });
  return { upstream, url: gateway.url, summaries };
}

async function startWithFile(bytes: Uint8Array<ArrayBuffer>, set: string[] = []) {
  const running = await startGateway({ emulator: OPEN, set: [...UNLIMITED, ...set] });
  const token = running.emulator.issueToken(ORG, APP);
  const { uuid } = await uploadTo(running.gateway.url, token, bytes);
  const url = `${running.gateway.url}${CHATFILES}/${uuid}`;
  return { ...running, token, get: () => ask(url, { headers: bearer(token) }), url };
}

const upload = (url: string, file: Uint8Array, token = TOKEN): Promise<Reply> => {
  const { contentType, body } = multipartOf(file);
  return ask(`${url}${CHATFILES}`, { method: 'POST', headers: bearer(token, { 'content-type': contentType }), body });
};

const download = (url: string): Promise<Reply> => ask(`${url}${FILE}`, { headers: bearer(TOKEN) });

/** An error of the gateway's own, in the shape that client SDKs read. */
function expectError(reply: Reply, status: number, error?: string): void {
  expect([reply.status, reply.isWhole]).toEqual([status, true]);
  expect(reply.headers['content-type']).toBe('application/json');
  const body = JSON.parse(reply.body.toString()) as Record<string, unknown>;
  expect(Object.keys(body)).toEqual(['error', 'exception', 'timestamp', 'duration', 'error_description']);
  if (error !== undefined) expect(body['error']).toBe(error);
  for (const field of ['etag', 'content-encoding', 'content-disposition', 'last-modified', 'location']) {
    expect(reply.headers[field]).toBeUndefined();
  }
}

const expectNotWhole = (reply: Reply): void => {
  expect(reply).toSatisfy(({ status, isWhole }: Reply) => status !== 200 || !isWhole);
};

describe('an upstream that cannot be reached', () => {
  it.each(['GET', 'POST'])('is a 502 in the shape of Easemob, which names no host, for %s', async (method) => {
    const { upstream, url, summaries } = await startBehind(() => {}, ['retry.attempts=3']);
    await upstream[Symbol.asyncDispose]();
    const reply = method === 'GET' ? await download(url) : await upload(url, fileOf(1000));
    expectError(reply, 502, 'bad_gateway');
    const { port } = new URL(upstream.url);
    expect(JSON.stringify([reply.rawHeaders, reply.body.toString()])).not.toMatch(
      new RegExp(`${port}|127\\.0\\.0\\.1|ECONN`),
    );
    expect(summaries).toMatchObject([{ error: 'UPSTREAM_UNREACHABLE', source: 'upstream', attempts: 3 }]);
  });
});

describe('an upstream that hangs', () => {
  it('before its answer is a 504, and the connection is free again', async () => {
    const file = fileOf(1000);
    const { emulator, gateway, token, get } = await startWithFile(file, [
      ...IMPATIENT,
      'retry.attempts=1',
      'upstream.maxSockets=1',
    ]);
    emulator.fault({ kind: 'hang', times: 4 });
    for (const _ of [1, 2]) {
      expectError(await get(), 504, 'gateway_timeout');
      expectError(await upload(gateway.url, file, token), 504, 'gateway_timeout');
    }
    await expect.poll(() => emulator.received().filter(({ outcome }) => outcome === 'pending')).toEqual([]);
    expect((await get()).body.equals(file)).toBe(true);
    expect((await upload(gateway.url, file, token)).status).toBe(200);
  });

  it('in the middle of a large file costs the client its connection, for it has a part already', async () => {
    const { emulator, get, summaries } = await startWithFile(fileOf(LARGE), IMPATIENT);
    emulator.fault({ kind: 'hang', where: 'middle', times: 1 });
    expect(await get()).toMatchObject({ status: 200, isWhole: false });
    expect(summaries.at(-1)).toMatchObject({ error: 'UPSTREAM_TIMEOUT', status: 200 });
    await expect.poll(() => emulator.received().at(-1)?.outcome).toBe('broken-off');
    expect((await get()).isWhole).toBe(true);
  });

  it('in the middle of a small file is a 504, for nothing of it has been sent', async () => {
    const { emulator, get } = await startWithFile(fileOf(1000), IMPATIENT);
    emulator.fault({ kind: 'hang', where: 'middle', times: 1 });
    expectError(await get(), 504, 'gateway_timeout');
  });

  it('in the middle of an answer to HEAD does not keep the connection', async () => {
    const { url, token, emulator, get } = await startWithFile(fileOf(1000), [...IMPATIENT, 'upstream.maxSockets=1']);
    emulator.fault({ kind: 'hang', where: 'middle', times: 1 });
    expect((await ask(url, { method: 'HEAD', headers: bearer(token) })).status).toBe(200);
    await expect.poll(() => emulator.received().at(-1)?.outcome).toBe('broken-off');
    expect((await get()).isWhole).toBe(true);
  });

  it('does not delay the requests of others', async () => {
    const { emulator, url, token, get } = await startWithFile(fileOf(1000));
    emulator.fault({ kind: 'hang', match: { interface: 'thumbnail' } });
    const leave = new AbortController();
    const slow = Array.from({ length: 30 }, () =>
      fetch(url, { headers: bearer(token, { thumbnail: 'true' }), signal: leave.signal }).catch(() => 'left'),
    );
    await expect.poll(() => emulator.received().filter(({ fault }) => fault === 'hang')).toHaveLength(30);
    const others = await Promise.all(Array.from({ length: 60 }, get));
    expect(others.filter(({ status }) => status !== 200)).toEqual([]);
    expect(emulator.received().filter(({ fault, outcome }) => fault === 'hang' && outcome !== 'pending')).toEqual([]);
    leave.abort();
    expect(new Set(await Promise.all(slow))).toEqual(new Set(['left']));
  });
});

describe('an answer that breaks', () => {
  it.each<[string, Fault]>([
    ['is cut off by a reset', { kind: 'reset', where: 'middle', times: 1 }],
    ['is cut off in order', { kind: 'truncate', times: 1 }],
    ['is shorter than its length', { kind: 'wrong-length', by: 10, times: 1 }],
    ['is longer than its length', { kind: 'wrong-length', by: -10, times: 1 }],
  ])('because it %s is never taken for a whole file, and harms no later one', async (_case, fault) => {
    for (const size of [1000, LARGE]) {
      const file = fileOf(size);
      const { emulator, get } = await startWithFile(file, IMPATIENT);
      emulator.fault(fault);
      const reply = await get();
      expectNotWhole(reply);
      if (size === 1000) expectError(reply, fault.kind === 'wrong-length' && fault.by > 0 ? 504 : 502);
      expect((await get()).body.equals(file)).toBe(true);
    }
  });

  it('before its head is asked for once more, if it is a file', async () => {
    const file = fileOf(1000);
    const { emulator, get, summaries } = await startWithFile(file);
    emulator.fault({ kind: 'reset', times: 2 });
    expect((await get()).body.equals(file)).toBe(true);
    expect(summaries.at(-1)).toMatchObject({ status: 200, attempts: 3, error: undefined });
  });

  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n';
  it.each([
    ['garbage', 'what is this?\r\n\r\n'],
    ['nothing', ''],
    ['a greeting of another protocol', '220 mail.example.com ESMTP\r\n'],
    ['a head that never ends', `HTTP/1.1 200 OK\r\n${'X-More: yyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(20_000)}`],
    ['a head that is cut', 'HTTP/1.1 200 OK\r\nContent-Le'],
    ['a header with a control character', 'HTTP/1.1 200 OK\r\nX: a\u0000b\r\nContent-Length: 2\r\n\r\nok'],
    ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok'],
    ['two different lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!'],
    ['a length and chunks', `${chunked}Content-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ['chunks with a broken size', `${chunked}\r\nzz\r\nok\r\n0\r\n\r\n`],
    ['chunks without the last', `${chunked}\r\n2\r\nok\r\n`],
    ['fewer bytes than announced', 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok'],
    ['more bytes than announced', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay'],
    ['a switch of protocols', 'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
    ['an endless row of interim answers', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(1000)],
    ['a status beyond HTTP', 'HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok'],
    ['a redirect without a place', 'HTTP/1.1 302 X\r\nContent-Length: 2\r\n\r\nok'],
  ])('being %s is a 502, and the next one is right', async (_case, bytes) => {
    let isHostile = true;
    const { url } = await startBehind(
      ({ socket }) => void (isHostile ? socket.end(bytes, 'latin1') : socket.write(okay('fine'))),
      [...IMPATIENT, 'retry.attempts=2'],
    );
    expectError(await download(url), 502, 'bad_gateway');
    expectError(await upload(url, fileOf(100)), 502, 'bad_gateway');
    isHostile = false;
    expect((await download(url)).body.toString()).toBe('fine');
  });

  it('is broken also for a client of HTTP/1.0, to whom the end of the connection is the end of the file', async () => {
    const bytes = `${chunked}\r\n${(100_000).toString(16)}\r\n${'x'.repeat(100_000)}\r\n`;
    const { url } = await startBehind(({ socket }) => {
      socket.write(bytes);
      setImmediate(() => socket.end());
    });
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) }).resume();
    onTestFinished(() => void socket.destroy());
    const { promise: failure, resolve } = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
    socket.on('error', resolve).on('close', () => resolve(undefined));
    socket.write(`GET ${FILE} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
    expect((await failure)?.code).toBe('ECONNRESET');
  });

  it('keeps its coding: a gzip bomb is passed on as the few bytes that it is', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    const { url } = await startBehind(({ socket }) => void socket.write(okay(bomb, 'Content-Encoding: gzip\r\n')));
    const reply = await download(url);
    expect([reply.status, reply.headers['content-encoding']]).toEqual([200, 'gzip']);
    expect(reply.body.equals(bomb)).toBe(true);
  });

  it('by its size is a 502 when the size is announced, and is cut when it is not', async () => {
    const bounds = ['limits.fileBytes=100KB', 'limits.formBytes=1KB'];
    const big = Buffer.alloc(200_000, 'x');
    const { url } = await startBehind(({ socket }, count) => {
      if (count === 1) socket.write(okay(big));
      else socket.write(`${chunked}\r\n${big.length.toString(16)}\r\n${big.toString()}\r\n0\r\n\r\n`);
    }, bounds);
    expectError(await download(url), 502, 'bad_gateway');
    const cut = await download(url);
    expectNotWhole(cut);
    expect(cut.body.length).toBeLessThanOrEqual(101 * 1024);
  });
});

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308] as const)('with %i is a 502, and its goal hears nothing', async (status) => {
    const trap = await startRawUpstream(({ socket }) => void socket.end(okay('trapped')));
    onTestFinished(() => trap[Symbol.asyncDispose]());
    const { emulator, gateway, token, url } = await startWithFile(fileOf(1000));
    emulator.fault({ kind: 'redirect', location: `${trap.url}/x`, status, times: 2 });
    const headers = bearer(token, { 'share-secret': 'a-secret' });
    expectError(await ask(url, { headers }), 502, 'bad_gateway');
    expectError(await upload(gateway.url, fileOf(1000), token), 502, 'bad_gateway');
    expect(trap.connections).toBe(0);
  });
});

describe('a refusal', () => {
  const json =
    '{"error":"some_error","timestamp":1,"duration":0,"exception":"x.y.Z","error_description":"in their words"}';
  const extra = [
    'Set-Cookie: session=1',
    'WWW-Authenticate: Bearer realm="x"',
    'Proxy-Authenticate: Basic',
    'Access-Control-Allow-Origin: *',
    'Access-Control-Allow-Credentials: true',
    'Server: nginx',
    'X-Powered-By: Servlet',
    'Keep-Alive: timeout=3',
  ];
  const refuse =
    (status: number, type: string, text: string) =>
    ({ socket }: RawRequest): void => {
      const fields = [`Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(text)}`, ...extra].join('\r\n');
      socket.write(`HTTP/1.1 ${status} X\r\n${fields}\r\n\r\n${text}`);
    };

  it.each([400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 501])(
    'with %i is passed on as Easemob gave it',
    async (status) => {
      const { url, upstream } = await startBehind(refuse(status, 'application/json;charset=UTF-8', json));
      for (const reply of [await download(url), await upload(url, fileOf(100))]) {
        expect([reply.status, reply.body.toString()]).toEqual([status, json]);
        expect(reply.headers['cache-control']).toBe('no-store');
        expect(
          Object.keys(reply.headers).filter((name) =>
            /cookie|authenticate|^access-|server|powered|keep-alive/.test(name),
          ),
        ).toEqual(['keep-alive'].filter(() => reply.headers['keep-alive'] !== undefined));
        expect(reply.headers['keep-alive']).not.toBe('timeout=3');
      }
      expect(upstream.requests).toHaveLength(2);
    },
  );

  it.each([
    [400, 400],
    [403, 403],
    [404, 404],
    [413, 413],
    [414, 414],
    [500, 502],
    [502, 502],
    [504, 504],
  ])('with %i in HTML becomes JSON with %i', async (status, wanted) => {
    const html = '<html><h1>Nope</h1><p>nginx at 10.1.2.3</p></html>';
    const { url } = await startBehind(refuse(status, 'text/html', html), [
      'retry.attempts=1',
      'retry.throttledAttempts=1',
    ]);
    for (const reply of [await download(url), await upload(url, fileOf(100))]) {
      expectError(reply, wanted);
      expect(reply.body.toString()).not.toMatch(/html|nginx|10\.1/);
    }
  });

  it('of a good token is passed on, and not remembered where that is switched off', async () => {
    const { emulator, get } = await startWithFile(fileOf(10), ['access.refusalSeconds=0']);
    emulator.fault({ kind: 'status', status: 401, times: 1 });
    expect((await get()).status).toBe(401);
    expect((await get()).status).toBe(200);
  });

  it('that says for how long is waited out, whatever the method', async () => {
    const { emulator, gateway, token, get } = await startWithFile(fileOf(10));
    emulator.clearReceived();
    emulator.fault({ kind: 'unavailable', retryAfterSeconds: 1, times: 1 });
    expect((await get()).status).toBe(200);
    emulator.fault({ kind: 'unavailable', retryAfterSeconds: 1, times: 1 });
    expect((await upload(gateway.url, fileOf(10), token)).status).toBe(200);
    const [one, two, three, four] = emulator.received().map(({ at }) => at);
    expect(two! - one!).toBeGreaterThan(990);
    expect(four! - three!).toBeGreaterThan(990);
  });

  it('that asks for more patience than allowed is handed on with the time to come back', async () => {
    const { emulator, gateway, token, get } = await startWithFile(fileOf(10));
    emulator.clearReceived();
    emulator.fault({ kind: 'unavailable', retryAfterSeconds: 60 });
    for (const reply of [await get(), await upload(gateway.url, fileOf(10), token)]) {
      expectError(reply, 503, 'service_unavailable');
      expect(reply.headers['retry-after']).toBe('60');
    }
    expect(emulator.received()).toHaveLength(2);
  });

  it('for the rate is tried again, for the plan it is passed on at once', async () => {
    const { emulator, get } = await startWithFile(fileOf(10));
    emulator.clearReceived();
    emulator.fault({ kind: 'status', status: 429, body: { error: 'reach_limit' }, times: 1 });
    expect((await get()).status).toBe(200);
    expect(emulator.received()).toHaveLength(2);
    emulator.fault({ kind: 'status', status: 429, body: { error: 'resource_limited' }, times: 1 });
    const reply = await get();
    expect([reply.status, reply.body.toString()]).toEqual([429, '{"error":"resource_limited"}']);
    expect(emulator.received()).toHaveLength(3);
  });
});

describe('a burst of 503', () => {
  it('is not seen by who downloads or uploads, and the file is stored once', async () => {
    const { emulator, gateway, token, get } = await startWithFile(fileOf(10));
    emulator.fault({ kind: 'unavailable', times: 3 });
    expect((await get()).status).toBe(200);
    emulator.fault({ kind: 'unavailable', times: 3 });
    expect((await upload(gateway.url, fileOf(10), token)).status).toBe(200);
    expect(emulator.stats().storedFiles).toBe(2);
  });

  it.each([
    ['in memory', 10_000],
    ['on the disk', 3_000_000],
  ])('meets the same bytes at every attempt, from a spool %s', async (_where, size) => {
    const { url, upstream } = await startBehind(({ socket }, count) => {
      socket.write(count < 4 ? 'HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n' : okay('{}'));
    });
    const { contentType, body } = multipartOf(fileOf(size));
    const headers = bearer(TOKEN, { 'content-type': contentType });
    const reply = await ask(`${url}${CHATFILES}`, { method: 'POST', headers, body });
    expect(reply.status).toBe(200);
    expect(upstream.requests.map((request) => sha256(request.body))).toEqual(Array(4).fill(sha256(body)));
  });
});

describe('an answer before the upload was sent to its end', () => {
  const rests = ['read', 'ignore', 'reset'] as const;
  it.each(rests.flatMap((rest) => [0, 100_000].map((afterBytes) => [rest, afterBytes] as const)))(
    'reaches the client as it is, when the rest is met with %s after %i bytes',
    async (rest, afterBytes) => {
      const { emulator, gateway, token, summaries } = await startWithFile(fileOf(10));
      emulator.fault({ kind: 'early-answer', status: 401, afterBytes, rest, times: 1 });
      const reply = await upload(gateway.url, fileOf(6_000_000), token);
      // A reset may overtake the answer; the client is told of a failure then, too.
      if (rest === 'reset') expect([401, 502]).toContain(reply.status);
      else expect([reply.status, reply.isWhole]).toEqual([401, true]);
      expect(summaries.at(-1)?.error).not.toBe('GATEWAY_FAULT');
      expect(emulator.stats().storedFiles).toBe(1);
    },
  );

  it('is tried again from the spool when it is a 503', async () => {
    const { emulator, gateway, token } = await startWithFile(fileOf(10));
    emulator.fault({ kind: 'early-answer', status: 503, afterBytes: 0, rest: 'ignore', times: 1 });
    expect((await upload(gateway.url, fileOf(6_000_000), token)).status).toBe(200);
    expect(emulator.stats().storedFiles).toBe(2);
  });

  it('is tried again on a connection of its own: the refused one may never have been read to its end', async () => {
    const { emulator, gateway, token } = await startWithFile(fileOf(10));
    // Small enough to be out before the answer comes: for all that can be seen here, the connection is free again.
    emulator.fault({ kind: 'early-answer', status: 503, afterBytes: 100, rest: 'ignore', times: 1 });
    expect((await upload(gateway.url, fileOf(200_000), token)).status).toBe(200);
    expect(emulator.stats().storedFiles).toBe(2);
  });
});

describe('a kept connection that the upstream closes just before it is used', () => {
  const resetSecondUse = () => {
    const seen = new WeakSet<object>();
    return startBehind(({ socket }) => {
      if (seen.has(socket)) socket.resetAndDestroy();
      else socket.write(okay('fine'));
      seen.add(socket);
    });
  };

  it('costs no reader anything, however often it happens', async () => {
    const { url } = await resetSecondUse();
    for (let round = 0; round < 100; round += 1) expect((await download(url)).status).toBe(200);
  });

  it('never doubles an upload that was out: it fails, and says so', async () => {
    const { url, upstream } = await resetSecondUse();
    expect((await download(url)).status).toBe(200);
    expect((await upload(url, fileOf(100))).status).toBe(502);
    expect((await upload(url, fileOf(100))).status).toBe(200);
    expect(upstream.requests.filter(({ head }) => head.startsWith('POST'))).toHaveLength(2);
  });

  it('is noticed on one of many: the others are not tried one after the other', async () => {
    const old = new WeakSet<object>();
    let isRestarted = false;
    const waiting: RawRequest[] = [];
    const { url } = await startBehind(
      (request) => {
        if (!isRestarted) {
          old.add(request.socket);
          waiting.push(request);
          if (waiting.length >= 10) for (const { socket } of waiting.splice(0)) socket.write(okay('fine'));
        } else if (old.has(request.socket)) request.socket.resetAndDestroy();
        else request.socket.write(okay('fine'));
      },
      ['retry.attempts=2'],
    );
    expect((await Promise.all(Array.from({ length: 10 }, () => download(url)))).map(({ status }) => status)).toEqual(
      Array(10).fill(200),
    );
    isRestarted = true;
    expect((await download(url)).status).toBe(200);
  });

  it('fails no reader and doubles no upload that races with the closing', async () => {
    const { emulator, gateway, token, get } = await startWithFile(fileOf(1000));
    emulator.fault({ kind: 'keep-alive', ms: 1 });
    let stored = 1;
    const seen = new Set<number>();
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let round = 0; round < 40; round += 1) {
          seen.add((await get()).status);
          const { status } = await upload(gateway.url, fileOf(1000), token);
          expect([200, 502]).toContain(status);
          if (status === 200) stored += 1;
        }
      }),
    );
    expect([...seen]).toEqual([200]);
    expect(emulator.stats().storedFiles).toBe(stored);
  });
});

describe('an upload', () => {
  const early = (status: number, rest: 'read' | 'ignore' | 'reset'): Fault[] =>
    [0, 1, 50_000].map((afterBytes) => ({ kind: 'early-answer', status, afterBytes, rest }));
  const FAULTS: Fault[] = [
    { kind: 'unavailable' },
    ...[400, 401, 413, 429, 500, 502, 504].map((status): Fault => ({ kind: 'status', status })),
    { kind: 'status', status: 429, body: { error: 'reach_limit' } },
    { kind: 'status', status: 502, body: '<html>' },
    ...(['start', 'unanswered', 'middle'] as const).flatMap((where): Fault[] => [
      { kind: 'hang', where },
      { kind: 'reset', where },
    ]),
    { kind: 'reset', where: 'middle', afterBytes: 0 },
    { kind: 'truncate' },
    { kind: 'wrong-length', by: 5 },
    { kind: 'wrong-length', by: -5 },
    { kind: 'redirect', location: 'http://127.0.0.1:9/' },
    { kind: 'latency', ms: 400 },
    { kind: 'keep-alive', ms: 0 },
    ...early(503, 'read'),
    ...early(503, 'reset'),
    ...early(413, 'ignore'),
  ];

  it.each(FAULTS.map((fault) => [JSON.stringify(fault), fault] as const))(
    'is never stored twice, and never promised in vain, whatever happens: %s',
    async (_name, fault) => {
      const { emulator, gateway } = await startGateway({
        emulator: OPEN,
        set: [...UNLIMITED, ...IMPATIENT, 'retry.attempts=3'],
      });
      const token = emulator.issueToken(ORG, APP);
      for (const size of [100, LARGE]) {
        for (const times of [1, 3]) {
          const before = emulator.stats().storedFiles;
          const file = fileOf(size);
          emulator.fault({ ...fault, times });
          const reply = await upload(gateway.url, file, token);
          emulator.clearFaults();
          const stored = emulator.stats().storedFiles - before;
          expect(stored).toBeLessThanOrEqual(1);
          if (reply.status === 200 && reply.isWhole) {
            const { entities } = JSON.parse(reply.body.toString()) as { entities: [{ uuid: string }] };
            const back = await ask(`${gateway.url}${CHATFILES}/${entities[0].uuid}`, { headers: bearer(token) });
            expect([stored, sha256(back.body)]).toEqual([1, sha256(file)]);
          }
          // What a client is told to do again must not have been done.
          if (reply.status === 503 || (reply.status >= 400 && reply.status < 500)) expect(stored).toBe(0);
        }
      }
    },
  );
});

const openFiles = () => readdirSync('/proc/self/fd').length;

describe('a client', () => {
  it('that vanishes in the middle of a download leaves nothing behind, two hundred times', async () => {
    const { emulator, url, token, summaries } = await startWithFile(fileOf(LARGE));
    emulator.fault({ kind: 'hang', where: 'middle' });
    const before = openFiles();
    const vanish = () =>
      new Promise<void>((resolve) => {
        const request = httpRequest(url, { headers: bearer(token), agent: false }, (answer) => {
          answer.once('data', () => request.destroy());
          answer.on('error', () => {}).once('close', resolve);
        });
        request.on('error', () => {}).end();
      });
    for (let round = 0; round < 10; round += 1) await Promise.all(Array.from({ length: 20 }, vanish));
    await expect.poll(() => summaries.filter(({ error }) => error === 'CLIENT_GONE')).toHaveLength(200);
    await expect.poll(() => emulator.received().filter(({ outcome }) => outcome === 'pending')).toEqual([]);
    await expect.poll(openFiles).toBeLessThanOrEqual(before);
  });

  it('that never reads is cut off after the idle time', async () => {
    const { url, token, summaries, gateway } = await startWithFile(fileOf(10_000_000), IMPATIENT);
    const { hostname, port } = new URL(gateway.url);
    const socket = connect({ host: hostname, port: Number(port) });
    onTestFinished(() => void socket.destroy());
    socket.pause().on('error', () => {});
    socket.write(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    await expect
      .poll(() => summaries.at(-1), { timeout: 5000 })
      .toMatchObject({ error: 'REQUEST_TOO_SLOW', route: 'download' });
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
    expect(socket.bytesRead).toBeLessThan(10_000_000);
  });
});
