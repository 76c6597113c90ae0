import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, type Question } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { type Asked, type Scripted, startScriptedUpstream } from '../kit/scripted-upstream.ts';

const TOKEN = 'YWMt-of-somebody';
const BASE = `/${ORG}/${APP}`;
const NO_SUCH_PATH = { error: 'service_resource_not_found', error_description: 'Service resource not found' };

/** A gateway that lets these paths through, before an upstream that answers so. */
async function start(
  passthrough: string,
  answer: (asked: Asked, count: number) => Scripted | Promise<Scripted> = () => ({ body: { action: 'get' } }),
  set: string[] = [],
) {
  const upstream = await startScriptedUpstream(answer);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const through = passthrough === '' ? [] : [`passthrough=${passthrough}`];
  const running = await startGateway({ upstreamUrl: upstream.url, set: [...through, ...set] });
  const send = (method: string, path: string, question: Omit<Question, 'method'> = {}) =>
    ask(`${running.gateway.url}${path}`, {
      method,
      ...question,
      headers: bearer(TOKEN, question.headers as Record<string, string>),
    });
  return { ...running, upstream, send };
}

const json = (body: Buffer): Record<string, unknown> => JSON.parse(body.toString()) as Record<string, unknown>;

describe('a path that the operator has not named', () => {
  it.each([
    ['GET', `${BASE}/users/ann`],
    ['POST', `${BASE}/token`],
    ['POST', `${BASE}/users`],
    ['DELETE', `${BASE}/users/ann`],
    ['GET', `${CHATFILES}/exists?md5=1`],
    ['PUT', `${BASE}/users/ann/chatfiles/lifetime`],
    ['POST', `${BASE}/sdk/chatfiles/part-upload`],
    ['POST', `${BASE}/chatgroups/1/share_files`],
    ['GET', '/easemob/server.json?app_key=o1%23a1'],
  ])('is not served: %s %s', async (method, path) => {
    const { send, upstream } = await start('');
    const { status, body } = await send(method, path);
    expect([status, json(body)]).toEqual([404, expect.objectContaining(NO_SUCH_PATH)]);
    expect(upstream.asked).toEqual([]);
  });

  it('is not served by what comes close', async () => {
    const { send, upstream } = await start('users/*');
    for (const path of [
      '/users',
      '/users/a/b',
      '/users/%2e%2e/token',
      '/Users/a',
      '/users/a/',
      '/users/a%2fb',
      '/users/..',
    ]) {
      expect([path, (await send('GET', BASE + path)).status]).toEqual([path, 404]);
    }
    expect(upstream.asked).toEqual([]);
  });
});

describe('a path that he has named', () => {
  it.each(['GET', 'POST', 'PUT', 'DELETE'])(
    'is asked for by %s as the client did, and answered as Easemob did',
    async (method) => {
      const { send, upstream, summaries } = await start('users/**', () => ({ status: 201, body: '{ "a" : 1.0 }' }));
      const body = method === 'GET' ? undefined : Buffer.from('{"nickname":"安"}');
      const type = { 'content-type': 'application/json' };
      const reply = await send(method, `${BASE}/users/%E5%AE%89,bob?limit=2&x=a%2Bb`, { headers: type, body });
      expect([reply.status, reply.body.toString()]).toEqual([201, '{ "a" : 1.0 }']);
      expect(upstream.asked).toMatchObject([
        { method, path: `${BASE}/users/%E5%AE%89,bob?limit=2&x=a%2Bb`, body: body ?? Buffer.alloc(0) },
      ]);
      expect(upstream.asked[0]?.headers).toMatchObject({ ...type, authorization: `Bearer ${TOKEN}` });
      expect(upstream.asked[0]?.headers['content-length']).toBe(body && String(body.length));
      expect(summaries).toMatchObject([
        { method, route: 'sibling', app: `${ORG}/${APP}`, status: 201, error: undefined },
      ]);
    },
  );

  it('is sent nothing but what is on the list, and sends back nothing else', async () => {
    const { send, upstream } = await start('**', () => ({
      headers: {
        'content-type': 'application/json',
        'set-cookie': ['a=1', 'b=2'],
        'www-authenticate': 'Basic realm="Usergrid Authentication"',
        server: 'Tomcat',
        'access-control-allow-origin': '*',
        'cache-control': 'public, max-age=600',
        expires: 'Tue, 02 Jan 2040 00:00:00 GMT',
        etag: '"e"',
      },
      body: '{}',
    }));
    const reply = await send('POST', `${BASE}/users`, {
      headers: {
        cookie: 'session=1',
        'x-forwarded-for': '1.2.3.4',
        'x-http-method-override': 'DELETE',
        'accept-encoding': 'gzip',
        accept: 'application/json, */*',
        'x-requested-with': 'XMLHttpRequest',
        'content-type': 'text/plain',
        'restrict-access': 'true',
      },
      body: Buffer.from('x'),
    });
    expect(Object.keys(upstream.asked[0]?.headers ?? {}).toSorted()).toEqual([
      'accept',
      'accept-encoding',
      'authorization',
      'connection',
      'content-length',
      'content-type',
      'host',
      'restrict-access',
      'traceparent',
      'user-agent',
    ]);
    expect(upstream.asked[0]?.headers).toMatchObject({
      accept: 'application/json, */*',
      'accept-encoding': 'identity',
    });
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json',
      etag: '"e"',
      'cache-control': 'no-store',
    });
    for (const name of ['set-cookie', 'www-authenticate', 'server', 'access-control-allow-origin', 'expires']) {
      expect(reply.headers).not.toHaveProperty(name);
    }
  });

  it('is not to be kept by any cache on the way, whatever its method', async () => {
    const { send } = await start('**', () => ({ headers: { 'cache-control': 'max-age=60' }, body: '{}' }));
    expect((await send('GET', `${BASE}/users/ann`)).headers['cache-control']).toBe('no-store');
  });

  it('is asked about with HEAD by GET', async () => {
    const { send, upstream } = await start('**', () => ({ body: { a: 1 } }));
    const reply = await send('HEAD', `${BASE}/users/ann`);
    expect([reply.status, reply.body.length, reply.headers['content-length']]).toEqual([200, 0, '7']);
    expect(upstream.asked[0]?.method).toBe('GET');
  });

  it.each(['PATCH', 'OPTIONS'])('is not served by %s, and its answer names what is', async (method) => {
    const { send, upstream } = await start('**');
    const { status, headers, body } = await send(method, `${BASE}/users/ann`);
    expect([status, headers['allow']]).toEqual([405, 'GET, HEAD, POST, PUT, DELETE']);
    expect(json(body)).toMatchObject({ error: 'method_not_allowed' });
    expect(upstream.asked).toEqual([]);
  });

  it('is refused by Easemob in its own words, and without a word by ours', async () => {
    const refusal = { error: 'duplicate_unique_property_exists', exception: 'x', error_description: 'taken' };
    const { send } = await start('**', (_asked, count) =>
      count === 1
        ? { status: 400, body: refusal }
        : { status: 500, body: '<h1>oops</h1>', headers: { 'content-type': 'text/html' } },
    );
    const first = await send('POST', `${BASE}/users`, { body: Buffer.from('{}') });
    expect([first.status, json(first.body)]).toEqual([400, refusal]);
    const second = await send('POST', `${BASE}/users`, { body: Buffer.from('{}') });
    expect([second.status, json(second.body)]).toEqual([502, expect.objectContaining({ error: 'bad_gateway' })]);
  });

  it.each(['GET', 'POST', 'PUT', 'DELETE'])('sends nobody elsewhere, asked by %s', async (method) => {
    const { send, summaries } = await start('**', () => ({
      status: 307,
      headers: { location: 'https://elsewhere.example/x' },
    }));
    const body = method === 'GET' ? undefined : Buffer.from('{}');
    const { status, headers } = await send(method, `${BASE}/users`, { body });
    expect([status, headers.location]).toEqual([502, undefined]);
    expect(summaries.at(-1)).toMatchObject({ error: 'UPSTREAM_REDIRECT', upstreamStatus: 307 });
  });

  it('needs a token that may be one, for an app that may be reached', async () => {
    const { gateway, upstream } = await start('**', undefined, [`destinations=${ORG}/other`]);
    const here = `${gateway.url}${BASE}/users`;
    const there = `${gateway.url}/${ORG}/other/users`;
    expect((await ask(here, { headers: bearer(TOKEN) })).status).toBe(404);
    expect((await ask(there)).status).toBe(401);
    expect((await ask(there, { headers: { authorization: 'Basic eDp5' } })).status).toBe(401);
    expect(upstream.asked).toEqual([]);
    expect((await ask(there, { headers: bearer(TOKEN) })).status).toBe(200);
  });

  it('is refused what two readers could understand differently', async () => {
    const { send, upstream, gateway } = await start('**');
    const statuses = [
      await send('GET', `${BASE}/users?access_token=x`),
      await send('GET', `${BASE}/users?callback=x`),
      await send('GET', `${BASE}/users?x=%zz`),
      await send('GET', `${BASE}/users`, { body: Buffer.from('x') }),
      await ask(`${gateway.url}${BASE}/users`, { headers: { authorization: [`Bearer ${TOKEN}`, 'Bearer other'] } }),
    ].map(({ status }) => status);
    expect(statuses).toEqual([400, 400, 400, 400, 400]);
    expect(upstream.asked).toEqual([]);
  });

  it('takes bodies up to a bound, announced or not, and none that are packed', async () => {
    const { gateway, upstream } = await start('**', undefined, ['limits.siblingBytes=1000', 'limits.discardMs=200']);
    const put = async (bytes: number, isAnnounced: boolean, headers: Record<string, string> = {}) => {
      const body = isAnnounced ? new Uint8Array(bytes) : new Blob([new Uint8Array(bytes)]).stream();
      const init = { method: 'PUT', headers: bearer(TOKEN, headers), body, duplex: 'half' } as RequestInit;
      return (await fetch(`${gateway.url}${BASE}/users/ann`, init)).status;
    };
    const statuses = [await put(1000, true), await put(1001, true), await put(1000, false), await put(1001, false)];
    expect(statuses).toEqual([200, 413, 200, 413]);
    expect(await put(10, true, { 'content-encoding': 'gzip' })).toBe(415);
    expect(upstream.asked.map(({ body }) => body.length)).toEqual([1000, 1000]);
  });

  it('waits in memory of its own: full of small bodies, it is refused and files are not', async () => {
    const { gateway, emulator } = await startGateway({ set: ['passthrough=**', 'spool.siblingMemoryBytes=100'] });
    const token = emulator.issueToken(ORG, APP);
    const body = Buffer.from(JSON.stringify({ username: 'x'.repeat(200), password: 'x' }));
    const reply = await ask(`${gateway.url}${BASE}/users`, { method: 'POST', headers: bearer(token), body });
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1']);
    await uploadTo(gateway.url, token, 'a file');
  });

  it('can be the probe for known content, and the lifetime of files', async () => {
    const { send, upstream } = await start('chatfiles/exists,users/*/chatfiles/lifetime');
    expect((await send('GET', `${CHATFILES}/exists?md5=1&imageType=2`)).status).toBe(200);
    expect((await send('PUT', `${BASE}/users/ann/chatfiles/lifetime`, { body: Buffer.from('{}') })).status).toBe(200);
    expect(upstream.asked.map(({ path }) => path)).toEqual([
      `${CHATFILES}/exists?md5=1&imageType=2`,
      `${BASE}/users/ann/chatfiles/lifetime`,
    ]);
  });

  it('can lie elsewhere, if he has named it as a whole', async () => {
    const { send, upstream } = await start(
      '**,/api/sdk/v1/{org}/{app}/speech/*,/easemob/logger/devicelogs',
      undefined,
      [`destinations=${ORG}/${APP}`],
    );
    const statuses = [];
    for (const path of [
      `/api/sdk/v1${BASE}/speech/transcriptions`,
      `/api/sdk/v1/${ORG}/other/speech/transcriptions`,
      `/api/sdk/v1${BASE}/other`,
      '/easemob/logger/devicelogs',
      '/easemob/logger/other',
      '/management/orgs/x',
    ]) {
      statuses.push((await send('POST', path, { body: Buffer.from('{}') })).status);
    }
    expect(statuses).toEqual([200, 404, 404, 200, 404, 404]);
    expect(upstream.asked).toHaveLength(2);
  });

  it('can be read by pages of listed origins, and their preflights cost nothing', async () => {
    const origin = 'https://chat.example.com';
    const { gateway, send, upstream } = await start('users/**', undefined, [`cors.origins=${origin}`]);
    const preflight = (path: string) =>
      ask(gateway.url + path, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } });
    const told = await preflight(`${BASE}/users/ann`);
    expect([told.status, told.headers['access-control-allow-methods']]).toEqual([204, 'GET,HEAD,POST,PUT,DELETE']);
    // What is not let through says so to the request itself, which the page can then read.
    expect((await preflight(`${BASE}/other`)).status).toBe(204);
    expect(upstream.asked).toEqual([]);
    const reply = await send('PUT', `${BASE}/users/ann`, { headers: { origin }, body: Buffer.from('{}') });
    expect(reply.headers['access-control-allow-origin']).toBe(origin);
  });
});

describe('a sibling that Easemob did not answer', () => {
  it.each(['GET', 'POST', 'PUT', 'DELETE'])(
    'is sent again by %s when it was throttled, with its body',
    async (method) => {
      const { send, upstream } = await start('**', (_asked, count) => (count < 3 ? { status: 503 } : { body: '{}' }));
      const body = method === 'GET' ? undefined : Buffer.from('{"a":1}');
      expect((await send(method, `${BASE}/users`, { body })).status).toBe(200);
      expect(upstream.asked.map((asked) => asked.body.toString())).toEqual(Array(3).fill(body?.toString() ?? ''));
    },
  );

  it('is given up sooner than a file, since a 503 may mean anything there', async () => {
    const { send, upstream } = await start('**', () => ({ status: 503 }), ['retry.attempts=2']);
    expect((await send('GET', `${BASE}/users`)).status).toBe(503);
    expect(upstream.asked).toHaveLength(2);
  });

  it.each([
    ['GET', 200, 2],
    ['POST', 502, 1],
    ['PUT', 502, 1],
    ['DELETE', 502, 1],
  ])(
    'is not sent again by %s once it may have been carried out, unless that changes nothing',
    async (method, status, times) => {
      const { send, upstream } = await start('**', (_asked, count) => (count === 1 ? { reset: true } : { body: '{}' }));
      const body = method === 'GET' ? undefined : Buffer.from('{}');
      expect((await send(method, `${BASE}/users`, { body })).status).toBe(status);
      expect(upstream.asked).toHaveLength(times);
    },
  );
});

describe('the quota', () => {
  const ONE = ['quota.perSecond=1', 'quota.windowMs=60000', 'quota.maxWaitMs=0'];

  it('is one for the files and what is beside them', async () => {
    const { send } = await start('**', undefined, ONE);
    const statuses = [];
    for (const path of ['/users', '/chatfiles/x', '/users']) statuses.push((await send('GET', BASE + path)).status);
    expect(statuses).toEqual([200, 503, 503]);
  });

  it('is its own where each interface has one', async () => {
    const { send } = await start('**', undefined, [...ONE, 'quota.perInterface=true']);
    const statuses = [];
    for (const path of ['/users', '/chatfiles/x', '/users', '/chatgroups/1/share_files/f']) {
      statuses.push((await send('GET', BASE + path)).status);
    }
    // A shared file is a download, and shares with the downloads.
    expect(statuses).toEqual([200, 200, 503, 503]);
  });
});

describe('a client', () => {
  it('spends its own limit on what is beside the files, too', async () => {
    const { send } = await start('**', undefined, ['clientLimit.requests=2', 'clientLimit.seconds=3600']);
    const replies = [];
    for (const path of ['/users', '/chatfiles/x', '/users']) replies.push(await send('GET', BASE + path));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 503]);
    expect(replies.map(({ headers }) => headers['ratelimit'])).toEqual([
      expect.stringContaining('r=1'),
      expect.stringContaining('r=0'),
      expect.stringContaining('r=0'),
    ]);
  });
});
