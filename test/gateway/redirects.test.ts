import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent } from 'node:https';
import type { LookupFunction } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createEmulator, type Fault } from '../../src/emulator/emulator.ts';
import type { FollowWorld } from '../../src/upstream/follow.ts';
import { ask, multipartOf, type Question } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { startConnectProxy } from '../kit/connect-proxy.ts';
import { startGateway } from '../kit/gateway.ts';
import { OTHER_STORAGE, startStorage, STORAGE } from '../kit/storage.ts';

const PICTURE = await readFile(new URL('../../samples/picture.jpg', import.meta.url));
const FAST = [
  'quota.perSecond=5000',
  'upstream.connectTimeoutMs=500',
  'upstream.answerTimeoutMs=500',
  'cache.maxEntryBytes=10MB',
];
const SIGNED = 'Signature=do-not-tell';

type Answer = (req: IncomingMessage, res: ServerResponse) => void;

/** As an object storage answers: whole, in part or not at all, with fields that are nobody's business. */
const deliver =
  (bytes: Uint8Array = PICTURE, type = 'image/jpeg'): Answer =>
  (req, res) => {
    const common = {
      'content-type': type,
      etag: '"of-storage"',
      'cache-control': 'public, max-age=31536000',
      expires: 'Thu, 01 Jan 2099 00:00:00 GMT',
      'set-cookie': 'session=1',
      'x-oss-request-id': '1',
    };
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? '') ?? [];
    if (req.headers['if-none-match'] === '"of-storage"') {
      res.writeHead(304, common).end();
      return;
    }
    if (from === undefined || to === undefined) {
      res.writeHead(200, { ...common, 'content-length': bytes.length }).end(bytes);
      return;
    }
    if (Number(from) >= bytes.length) {
      res.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end('<Error/>');
      return;
    }
    const part = bytes.subarray(Number(from), Number(to) + 1);
    const range = { 'content-range': `bytes ${from}-${to}/${bytes.length}`, 'content-length': part.length };
    res.writeHead(206, { ...common, ...range }).end(part);
  };

type Options = { answer?: Answer; set?: string[]; world?: FollowWorld; hosts?: (port: number) => string };

/** A storage, a gateway that follows redirects to it, and an upstream that makes them. */
async function start({ answer = deliver(), set = [], world = {}, hosts }: Options = {}) {
  const storage = await startStorage(answer);
  onTestFinished(() => storage[Symbol.asyncDispose]());
  const listed = hosts?.(storage.port) ?? `${STORAGE}:${storage.port},*.${STORAGE}:${storage.port}`;
  const lookups: string[] = [];
  const running = await startGateway({
    set: [...FAST, ...(listed === '' ? [] : [`redirects.hosts=${listed}`]), ...set],
    emulator: { limiter: { algorithm: 'off' }, anonymousDownloads: 'withSecret' },
    storage: {
      ca: storage.ca,
      // The seam of these tests: what is reached is this machine.
      isAllowedAddress: (address) => address === '127.0.0.1',
      resolve: async (hostname) => {
        lookups.push(hostname);
        return [{ address: '127.0.0.1', family: 4 }];
      },
      ...world,
    },
  });
  const { emulator, gateway } = running;
  const tokenOf = (username: string) => emulator.issueToken(ORG, APP, { username, layout: 'long' });
  const ann = bearer(tokenOf('ann'));
  const { uuid, secret = '' } = await uploadTo(emulator.url, tokenOf('owner'), 'upstream bytes', {
    'restrict-access': 'true',
  });
  emulator.clearReceived();
  const place = `https://${STORAGE}:${storage.port}/object?${SIGNED}`;
  const redirect = (location = place, more: Partial<Extract<Fault, { kind: 'redirect' }>> = {}) =>
    emulator.fault({ kind: 'redirect', location, ...more });
  const get = async (headers: Record<string, string> = {}, query = '', question: Question = {}) => {
    const url = `${gateway.url}${CHATFILES}/${uuid}${query}`;
    const reply = await ask(url, { headers: { ...ann, 'share-secret': secret, ...headers }, ...question });
    return { ...reply, cache: reply.headers['cache-status'] };
  };
  return { ...running, storage, place, redirect, get, ann, tokenOf, uuid, secret, lookups };
}

type Started = Awaited<ReturnType<typeof start>>;

/** A refusal in the shape of Easemob, with nothing in it of where the redirect led. */
async function expectRefused({ get, summaries }: Pick<Started, 'get' | 'summaries'>, code = 'UPSTREAM_REDIRECT') {
  const reply = await get();
  const status = code === 'UPSTREAM_TIMEOUT' ? 504 : code === 'UPSTREAM_THROTTLED' ? 503 : 502;
  expect([reply.status, summaries.at(-1)?.error]).toEqual([status, code]);
  const body = JSON.parse(reply.body.toString()) as Record<string, unknown>;
  expect(Object.keys(body)).toEqual(['error', 'exception', 'timestamp', 'duration', 'error_description']);
  expect(JSON.stringify([reply.rawHeaders, body])).not.toMatch(/storage|object|do-not-tell|location|10\.0\.0|127\.0/i);
  expect(JSON.stringify(summaries)).not.toContain('do-not-tell');
}

describe('a redirect that is followed', () => {
  it('is an answer of ours: the file, without a token, a secret or a cookie having gone to the storage', async () => {
    const { redirect, get, storage, emulator, summaries } = await start();
    redirect();
    const reply = await get({ cookie: 'session=1', referer: 'https://x/?share-secret=y', 'x-own': '1' });
    expect([reply.status, reply.body.equals(PICTURE)]).toEqual([200, true]);
    expect(storage.requests).toHaveLength(1);
    const [asked] = storage.requests;
    expect([asked?.method, asked?.path]).toEqual(['GET', `/object?${SIGNED}`]);
    expect(Object.keys(asked?.headers ?? {}).toSorted()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ]);
    expect(reply.headers).toMatchObject({ 'content-type': 'image/jpeg', 'cache-control': 'private' });
    for (const name of ['location', 'set-cookie', 'expires', 'x-oss-request-id'])
      expect(reply.headers).not.toHaveProperty(name);
    // One request to the upstream: what follows is not of its quota.
    expect(emulator.received()).toHaveLength(1);
    expect(summaries.at(-1)).toMatchObject({ status: 200, attempts: 1, error: undefined });
  });

  it.each([301, 302, 303, 307, 308] as const)('may be one with %i', async (status) => {
    const { redirect, get } = await start();
    redirect(undefined, { status });
    expect((await get()).status).toBe(200);
  });

  it('may lead on, a few times, also by a relative reference and to a name below a listed one', async () => {
    const { redirect, get, storage } = await start({
      answer: (req, res) => {
        if (req.url === '/a/1') res.writeHead(302, { location: '../b/2' }).end();
        else if (req.url === '/b/2')
          res.writeHead(307, { location: `https://${OTHER_STORAGE}:${storage.port}/3` }).end('x');
        else deliver()(req, res);
      },
    });
    redirect(`https://${STORAGE}:${storage.port}/a/1`);
    expect((await get()).body.equals(PICTURE)).toBe(true);
    expect(storage.requests.map(({ path, headers }) => `${headers.host}${path}`)).toEqual([
      `${STORAGE}:${storage.port}/a/1`,
      `${STORAGE}:${storage.port}/b/2`,
      `${OTHER_STORAGE}:${storage.port}/3`,
    ]);
  });

  it('takes parts and conditions along, and 304 is no redirect', async () => {
    const { redirect, get, storage } = await start();
    redirect();
    const part = await get({ range: 'bytes=2-5' });
    expect([part.status, part.body.equals(PICTURE.subarray(2, 6))]).toEqual([206, true]);
    expect(part.headers['content-range']).toBe(`bytes 2-5/${PICTURE.length}`);
    const same = await get({ 'if-none-match': '"of-storage"' });
    expect([same.status, same.body.length, same.headers.etag]).toEqual([304, 0, '"of-storage"']);
    const behind = await get({ range: 'bytes=99999999-99999999' });
    expect([behind.status, behind.headers['content-range']]).toEqual([416, `bytes */${PICTURE.length}`]);
    const head = await get({}, '', { method: 'HEAD' });
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(PICTURE.length), 0]);
    expect(storage.requests.every(({ method }) => method === 'GET')).toBe(true);
  });

  it('of a thumbnail is kept as ours, and shown to whom Easemob redirects', async () => {
    const { redirect, get, storage, emulator, tokenOf } = await start();
    redirect();
    const small = { thumbnail: 'true' };
    expect((await get(small)).cache).toBe('chatfiles-gateway; fwd=uri-miss; fwd-status=200; stored');
    const hit = await get(small);
    expect([hit.cache, hit.body.equals(PICTURE)]).toEqual(['chatfiles-gateway; hit; detail=memory', true]);
    expect(storage.requests).toHaveLength(1);
    // Another one is asked about: Easemob redirects, and the storage is not asked on conditions that were not its own.
    const bob = { ...small, ...bearer(tokenOf('bob')) };
    expect((await get(bob)).cache).toBe('chatfiles-gateway; fwd=request; fwd-status=200; stored');
    expect((await get(bob)).cache).toBe('chatfiles-gateway; hit; detail=memory');
    expect(storage.requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, undefined]);
    emulator.clearFaults();
    const eve = { ...small, ...bearer(tokenOf('eve')), 'share-secret': 'wrong' };
    expect((await get(eve)).status).toBe(403);
  });

  it('teaches nothing if the bytes do not come whole, or Easemob did not redirect', async () => {
    let isCut = true;
    const { redirect, get, emulator } = await start({
      answer: (req, res) => {
        if (!isCut) return deliver()(req, res);
        res.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': PICTURE.length });
        res.write(PICTURE.subarray(0, 100), () => res.destroy());
      },
    });
    redirect();
    const small = { thumbnail: 'true' };
    expect((await get(small)).status).toBe(502);
    expect((await get()).isWhole && (await get()).status === 200).toBe(false);
    isCut = false;
    expect((await get(small)).cache).toBe('chatfiles-gateway; fwd=uri-miss; fwd-status=200; stored');
    emulator.clearFaults();
    emulator.fault({ kind: 'status', status: 401, body: { error_description: 'Unable to authenticate (OAuth)' } });
    expect((await get({ ...small, 'share-secret': 'wrong' })).status).toBe(401);
    expect((await get(small)).status).toBe(401);
  });

  it('of a reader without a token is kept for such readers', async () => {
    const { redirect, gateway, uuid, secret, storage } = await start({ set: ['tokens.anonymousDownloads=withSecret'] });
    redirect();
    const tag = () => ask(`${gateway.url}${CHATFILES}/${uuid}?em-redirect=true&share-secret=${secret}&thumbnail=true`);
    expect((await tag()).headers['cache-status']).toBe('chatfiles-gateway; fwd=uri-miss; fwd-status=200; stored');
    expect((await tag()).headers['cache-status']).toBe('chatfiles-gateway; hit; detail=memory');
    expect(JSON.stringify(storage.requests)).not.toContain(secret);
  });

  it('has the bounds of any answer', async () => {
    const { redirect, get, summaries } = await start({
      answer: deliver(fileOf(80 * 1024), 'image/jpeg'),
      set: ['limits.fileBytes=1KB'],
    });
    redirect();
    expect([(await get()).status, summaries.at(-1)?.error]).toEqual([502, 'UPSTREAM_TOO_LARGE']);
  });

  it('is one of so many at a time: the others wait, and are told so in the end', async () => {
    const held: ServerResponse[] = [];
    const { redirect, get, storage } = await start({
      answer: (_req, res) => void held.push(res),
      set: ['redirects.maxAtOnce=2', 'upstream.answerTimeoutMs=5000'],
    });
    redirect();
    const both = [get(), get()];
    await expect.poll(() => held.length).toBe(2);
    const third = await get();
    expect([third.status, third.headers['retry-after']]).toEqual([503, '1']);
    expect(storage.requests).toHaveLength(2);
    const fourth = get();
    for (const res of held) deliver()({ headers: {} } as IncomingMessage, res);
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200]);
    await expect.poll(() => held.length).toBe(3);
    deliver()({ headers: {} } as IncomingMessage, held[2] as ServerResponse);
    expect((await fourth).status).toBe(200);
  });

  it('frees its place when its client has gone', async () => {
    const { redirect, get, gateway, uuid, secret, ann, storage, summaries } = await start({
      answer: (req, res) => {
        if (storage.requests.length > 1) deliver()(req, res);
      },
      set: ['redirects.maxAtOnce=1', 'upstream.answerTimeoutMs=5000'],
    });
    redirect();
    const leaving = new AbortController();
    const url = `${gateway.url}${CHATFILES}/${uuid}`;
    const gone = fetch(url, { headers: { ...ann, 'share-secret': secret }, signal: leaving.signal }).catch(
      () => 'gone',
    );
    await expect.poll(() => storage.requests.length).toBe(1);
    leaving.abort();
    expect(await gone).toBe('gone');
    await expect.poll(() => summaries.at(-1)?.error).toBe('CLIENT_GONE');
    expect((await get()).status).toBe(200);
  });
});

describe('a redirect is refused, and its goal hears nothing, if it', () => {
  it.each<[string, (port: number) => string]>([
    ['leads to plain http', (port) => `http://${STORAGE}:${port}/object?${SIGNED}`],
    ['leads to a host that is not listed', (port) => `https://elsewhere.example.test:${port}/object?${SIGNED}`],
    ['leads to a name that only ends like a listed one', (port) => `https://evil${STORAGE}:${port}/object`],
    ['leads to the name with a dot behind it', (port) => `https://${STORAGE}.:${port}/object`],
    ['leads to another port', (port) => `https://${STORAGE}:${port + 1}/object?${SIGNED}`],
    ['leads to the usual port, which is not the listed one', () => `https://${STORAGE}/object?${SIGNED}`],
    ['names a user', (port) => `https://user@${STORAGE}:${port}/object`],
    ['names a user and a password', (port) => `https://user:do-not-tell@${STORAGE}:${port}/object`],
    ['hides the host behind one', (port) => `https://${STORAGE}:${port}@elsewhere.example.test/object`],
    ['leads to an address', (port) => `https://127.0.0.1:${port}/object`],
    ['leads to an address in disguise', (port) => `https://2130706433:${port}/object`],
    ['leads to an address of IPv6', (port) => `https://[::1]:${port}/object`],
    ['leads back to the upstream', () => '/o1/a1/chatfiles/other'],
    ['has a backslash in it', (port) => `https:\\\\${STORAGE}:${port}\\object`],
    ['is longer than any address', (port) => `https://${STORAGE}:${port}/${'a'.repeat(9000)}`],
    ['leads to a file', () => 'file:///etc/passwd'],
    ['leads to data', () => 'data:text/plain,object'],
  ])('%s', async (_case, location) => {
    const started = await start();
    started.redirect(location(started.storage.port));
    await expectRefused(started);
    expect([started.storage.connections, started.lookups]).toEqual([0, []]);
  });

  it.each<[string, Record<string, string>, number]>([
    ['leads nowhere', {}, 302],
    ['leaves the choice to the client', { location: 'https://storage.example.test/' }, 300],
    ['asks for a proxy', { location: 'https://storage.example.test/' }, 305],
  ])('%s', async (_case, headers, status) => {
    const started = await start();
    started.emulator.fault({ kind: 'status', status, headers, body: '' });
    await expectRefused(started);
    expect(started.storage.connections).toBe(0);
  });

  it.each([
    ['10.0.0.8'],
    ['127.0.0.1'],
    ['169.254.169.254'],
    ['100.100.100.200'],
    ['0.0.0.0'],
    ['::1'],
    ['::'],
    ['fe80::1'],
    ['fd00:ec2::254'],
    ['::ffff:127.0.0.1'],
    ['64:ff9b::7f00:1'],
  ])('leads to a listed name that means %s', async (address) => {
    const family = address.includes(':') ? 6 : 4;
    const started = await start();
    // Without the seam, as in service.
    const strict = await startGateway({
      set: [...FAST, `redirects.hosts=${STORAGE}:${started.storage.port}`],
      upstreamUrl: started.emulator.url,
      storage: { ca: started.storage.ca, resolve: async () => [{ address, family }] },
    });
    started.redirect();
    const get = async () => {
      const url = `${strict.gateway.url}${CHATFILES}/${started.uuid}`;
      const reply = await ask(url, { headers: { ...started.ann, 'share-secret': started.secret } });
      return { ...reply, cache: undefined };
    };
    await expectRefused({ get, summaries: strict.summaries });
    expect(started.storage.connections).toBe(0);
  });

  it('leads to a name of which but one address is private', async () => {
    const resolve = async () => [
      { address: '127.0.0.1', family: 4 },
      { address: '10.0.0.8', family: 4 },
    ];
    const started = await start({ world: { resolve } });
    started.redirect();
    await expectRefused(started);
    expect(started.storage.connections).toBe(0);
  });

  it('leads in a circle, or on and on', async () => {
    const started = await start({
      answer: (req, res) => {
        const [, kind, n] = /^\/(\w+)\/(\d+)$/.exec(req.url ?? '') ?? [];
        const next = kind === 'circle' ? (Number(n) + 1) % 2 : Number(n) + 1;
        res.writeHead(302, { location: `/${kind}/${next}` }).end();
      },
    });
    started.redirect(`https://${STORAGE}:${started.storage.port}/circle/0`, { times: 1 });
    started.redirect(`https://${STORAGE}:${started.storage.port}/on/0`, { times: 1 });
    await expectRefused(started);
    expect(started.storage.requests.map(({ path }) => path)).toEqual(['/circle/0', '/circle/1']);
    await expectRefused(started);
    expect(started.storage.requests.slice(2).map(({ path }) => path)).toEqual(['/on/0', '/on/1', '/on/2']);
  });

  it('leads on to something that would have been refused at first', async () => {
    const started = await start({
      answer: (_req, res) => void res.writeHead(302, { location: `http://${STORAGE}/object?${SIGNED}` }).end(),
    });
    started.redirect();
    await expectRefused(started);
    expect(started.storage.requests).toHaveLength(1);
  });

  it('answers what is no file', async () => {
    const { gateway, redirect, ann, storage } = await start({ set: ['passthrough=users/**'] });
    redirect();
    const reply = await ask(`${gateway.url}/${ORG}/${APP}/users/ann`, { headers: ann });
    expect([reply.status, storage.connections]).toEqual([502, 0]);
  });

  it('answers an upload', async () => {
    const { gateway, redirect, ann, storage } = await start();
    redirect();
    const { contentType, body } = multipartOf(fileOf(1000));
    const headers = { ...ann, 'content-type': contentType };
    const reply = await ask(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body });
    expect([reply.status, storage.connections]).toEqual([502, 0]);
  });
});

describe('a name that changes what it means', () => {
  it('is looked up once, and the connection goes to the address that was checked', async () => {
    // The attack: the first answer of a resolver passes the check, the second, a moment later, is of this network.
    const answers = ['127.0.0.1', '127.0.0.2'];
    let looked = 0;
    const started = await start({
      world: { resolve: async () => [{ address: answers[looked++ % 2] ?? '', family: 4 }] },
    });
    const trap = await startStorage(deliver(), '127.0.0.2', started.storage.port);
    onTestFinished(() => trap[Symbol.asyncDispose]());
    started.redirect();
    expect((await started.get()).status).toBe(200);
    expect([looked, started.storage.connections]).toEqual([1, 1]);
    await expectRefused(started);
    expect([looked, trap.connections]).toEqual([2, 0]);
  });
});

it('the peer of a connection is looked at once more, before a byte goes there', async () => {
  let looked = 0;
  const started = await start({ world: { isAllowedAddress: () => (looked += 1) === 1 } });
  started.redirect();
  await expectRefused(started);
  expect([looked, started.storage.requests]).toEqual([2, []]);
});

describe('a proxy that makes the connections', () => {
  it('resolves names itself, and the list alone holds', async () => {
    const lookup: LookupFunction = (_name, { all }, done) =>
      all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);
    const agentFor = () => new Agent({ lookup, ca: started.storage.ca });
    const started: Started = await start({ world: { agentFor, isAllowedAddress: () => false } });
    started.redirect(undefined, { times: 1 });
    expect((await started.get()).status).toBe(200);
    expect(started.lookups).toEqual([]);
    started.redirect(`https://elsewhere.example.test:${started.storage.port}/object`);
    await expectRefused(started);
    expect(started.storage.connections).toBe(1);
  });

  it('leaves the storage the time of an answer, and each goal a connection of its own', async () => {
    const slowly: Answer = (req, res) => {
      // The second on a connection is cut: what is kept there may be stale.
      if (asked.has(req.socket)) return void req.socket.destroy();
      asked.add(req.socket);
      setTimeout(() => deliver()(req, res), 600);
    };
    const asked = new WeakSet<object>();
    const storage = await startStorage(slowly);
    onTestFinished(() => storage[Symbol.asyncDispose]());
    const ca = join(await mkdtemp(join(tmpdir(), 'chatfiles-redirects-')), 'ca.pem');
    onTestFinished(() => rm(dirname(ca), { recursive: true }));
    await writeFile(ca, storage.ca);
    const upstream = await createEmulator({ limiter: { algorithm: 'off' } });
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const ports = { [STORAGE]: storage.port, 'easemob.example.test': Number(new URL(upstream.url).port) };
    const proxy = await startConnectProxy({ hosts: ports });
    const { gateway } = await startGateway({
      upstreamUrl: 'http://easemob.example.test',
      set: [
        'upstream.allowPlaintext=true',
        `upstream.proxy=${proxy.url}`,
        `upstream.caFile=${ca}`,
        'upstream.connectTimeoutMs=500',
        'upstream.answerTimeoutMs=5000',
        `redirects.hosts=${STORAGE}`,
      ],
    });
    const token = upstream.issueToken(ORG, APP);
    const { uuid } = await uploadTo(upstream.url, token, 'bytes');
    upstream.fault({ kind: 'redirect', location: `https://${STORAGE}/object?${SIGNED}` });
    const get = async () => (await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) })).status;
    expect([await get(), await get()]).toEqual([200, 200]);
  });
});

describe('a storage', () => {
  it.each<[string, Answer, string]>([
    ['that refuses', (_req, res) => void res.writeHead(403).end('<Error>do-not-tell</Error>'), 'UPSTREAM_REDIRECT'],
    [
      'that does not have it',
      (_req, res) => void res.writeHead(404).end('{"error":"entity_not_found"}'),
      'UPSTREAM_REDIRECT',
    ],
    ['that fails', (_req, res) => void res.writeHead(500).end(), 'UPSTREAM_REDIRECT'],
    ['that has nothing', (_req, res) => void res.writeHead(204).end(), 'UPSTREAM_REDIRECT'],
    ['that gives a part of it unasked', (_req, res) => void res.writeHead(206).end('x'), 'UPSTREAM_REDIRECT'],
    ['that says it is as before, unasked', (_req, res) => void res.writeHead(304).end(), 'UPSTREAM_REDIRECT'],
    ['that is busy', (_req, res) => void res.writeHead(503).end(), 'UPSTREAM_THROTTLED'],
    ['that says nothing', () => {}, 'UPSTREAM_TIMEOUT'],
    ['that hangs up', (req) => void req.socket.destroy(), 'UPSTREAM_BROKEN'],
    [
      'that sends more than it announced',
      (req) =>
        void req.socket.end('HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\n0123456789'),
      'UPSTREAM_BROKEN',
    ],
    ['that speaks something else', (req) => void req.socket.end('do-not-tell\r\n\r\n'), 'UPSTREAM_BROKEN'],
  ])('%s is a failure, and says nothing of tokens, of files or of Easemob', async (_case, answer, code) => {
    let isGood = true;
    const started = await start({ answer: (req, res) => (isGood ? deliver() : answer)(req, res) });
    const { redirect, get } = started;
    redirect();
    const small = { thumbnail: 'true' };
    expect((await get(small)).status).toBe(200);
    isGood = false;
    await expectRefused(started, code);
    expect((await get(small)).cache).toBe('chatfiles-gateway; hit; detail=memory');
  });

  it.each<[string, FollowWorld, string]>([
    ['whose certificate nobody knows', { ca: '' }, 'UPSTREAM_UNREACHABLE'],
    ['whose name has no address', { resolve: async () => [] }, 'UPSTREAM_UNREACHABLE'],
    [
      'whose name cannot be resolved',
      { resolve: () => Promise.reject(Object.assign(new Error('x'), { code: 'EAI_AGAIN' })) },
      'UPSTREAM_UNREACHABLE',
    ],
    ['whose name is never resolved', { resolve: () => new Promise(() => {}) }, 'UPSTREAM_TIMEOUT'],
  ])('%s cannot be reached', async (_case, world, code) => {
    const started = await start({ world });
    started.redirect();
    await expectRefused(started, code);
    expect(started.storage.requests).toEqual([]);
  });
});

describe('redirects', () => {
  it('are refused by default, and nobody asks for one', async () => {
    const started = await start({ hosts: () => '' });
    expect((await started.get({}, '?em-redirect=true&x=1')).status).toBe(200);
    expect(started.emulator.received().map(({ path }) => path)).toEqual([`${CHATFILES}/${started.uuid}?x=1`]);
    started.redirect();
    await expectRefused(started);
    expect(started.storage.connections).toBe(0);
  });

  it('are handed on where that is configured, and the wish for one too', async () => {
    const started = await start({ hosts: () => '', set: ['redirects.mode=pass'] });
    const { get, redirect, place, emulator, uuid, storage, secret } = started;
    redirect();
    const reply = await get({ thumbnail: 'true' }, '?em-redirect=true');
    expect([reply.status, reply.headers.location, reply.body.length]).toEqual([302, place, 0]);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(emulator.received().map(({ path }) => path)).toEqual([`${CHATFILES}/${uuid}?em-redirect=true`]);
    const head = await get({}, '', { method: 'HEAD' });
    expect([head.status, head.headers.location]).toEqual([302, place]);
    expect(storage.connections).toBe(0);
    expect(JSON.stringify(reply.rawHeaders)).not.toContain(secret);
  });

  it.each<[string, (upstream: string) => string, (gateway: string) => string | undefined]>([
    [
      'to the upstream leads to us',
      (upstream) => `${upstream}/o1/a1/chatfiles/x?a=%2f`,
      (us) => `${us}/o1/a1/chatfiles/x?a=%2f`,
    ],
    ['to the upstream by its path leads to us', () => '/o1/a1/chatfiles/x', (us) => `${us}/o1/a1/chatfiles/x`],
    [
      'to the upstream by another scheme leads to us',
      (upstream) => `${upstream.replace('http:', 'https:')}/o1/a1/chatfiles/x`,
      (us) => `${us}/o1/a1/chatfiles/x`,
    ],
    ['relative to the file leads to us', () => 'x', (us) => `${us}/o1/a1/chatfiles/x`],
    ['to elsewhere stays byte for byte', () => 'HTTPS://a.test/%7e|x?a=B%2b', () => 'HTTPS://a.test/%7e|x?a=B%2b'],
    ['without a scheme has the one it had there', () => '//a.test/x', () => 'http://a.test/x'],
    ['with a user is refused', () => 'https://user@a.test/x', () => undefined],
    ['to another scheme is refused', () => 'javascript:alert(1)', () => undefined],
  ])('that are handed on: one %s', async (_case, location, expected) => {
    const { get, redirect, emulator, gateway } = await start({ hosts: () => '', set: ['redirects.mode=pass'] });
    redirect(location(emulator.url));
    const reply = await get();
    const place = expected(gateway.url);
    expect([reply.status, reply.headers.location]).toEqual([place === undefined ? 502 : 302, place]);
  });

  it('are never handed on to an upload', async () => {
    const { gateway, redirect, ann } = await start({ hosts: () => '', set: ['redirects.mode=pass'] });
    redirect();
    const { contentType, body } = multipartOf(fileOf(1000));
    const headers = { ...ann, 'content-type': contentType };
    const reply = await ask(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body });
    expect([reply.status, reply.headers.location]).toEqual([502, undefined]);
  });
});
