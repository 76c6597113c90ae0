import { readFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { freePort } from '../kit/redis.ts';
import { type Scripted, startScriptedUpstream } from '../kit/scripted-upstream.ts';

const PICTURE = new Uint8Array(await readFile(new URL('../../samples/picture.jpg', import.meta.url)));
const FILE = `${CHATFILES}/x`;
const USERS = `/${ORG}/${APP}/users`;
const LOGIN = `/${ORG}/${APP}/token`;
const KEYS = ['duration', 'error', 'error_description', 'exception', 'timestamp'];

async function start(answer: () => Scripted, set: string[] = []) {
  const upstream = await startScriptedUpstream(answer);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  return startGateway({
    upstreamUrl: upstream.url,
    set: ['passthrough=**', 'retry.attempts=1', 'retry.throttledAttempts=1', ...set],
  });
}

/** One request of each sort: a file, a thumbnail, an upload, a login, another path. */
async function askAll(url: string) {
  const form = new FormData();
  form.append('file', new Blob(['x']), 'x');
  const uploaded = await fetch(url + CHATFILES, { method: 'POST', headers: bearer('t'), body: form });
  const post = { method: 'POST', body: Buffer.from('{}') };
  const others = [
    await ask(url + FILE, { headers: bearer('t') }),
    await ask(url + FILE, { headers: bearer('t', { thumbnail: 'true' }) }),
    await ask(url + LOGIN, post),
    await ask(url + USERS, { ...post, headers: bearer('t') }),
  ];
  const first = {
    status: uploaded.status,
    headers: Object.fromEntries(uploaded.headers),
    body: Buffer.from(await uploaded.arrayBuffer()),
  };
  return [
    first,
    ...others.map(({ status, headers, body }) => ({ status, headers: headers as Record<string, unknown>, body })),
  ];
}

describe('a success', () => {
  it('is exactly 200 where Easemob says 200, fresh or kept, with its length', async () => {
    const users = [{ org: ORG, app: APP, username: 'ann', password: 'x' }];
    const { gateway, emulator } = await startGateway({ set: ['passthrough=**'], emulator: { users } });
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(gateway.url, token, PICTURE);
    const get = (more: Record<string, string> = {}) =>
      ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token, more) });
    const login = { method: 'POST', body: Buffer.from('{"grant_type":"password","username":"ann","password":"x"}') };
    const replies = [
      await get(),
      await get({ thumbnail: 'true' }),
      await get({ thumbnail: 'true' }),
      // What is no range is none.
      await get({ thumbnail: 'true', range: 'lines=1-2' }),
      await ask(gateway.url + LOGIN, login),
    ];
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    for (const { headers, body } of replies) expect(headers['content-length']).toBe(String(body.length));
    expect(replies[0]?.body.equals(PICTURE)).toBe(true);
  });

  it('keeps its length in a download of any size, for clients that show how far they are', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    for (const bytes of [1, 70_000, 3_000_000]) {
      const { uuid } = await uploadTo(gateway.url, token, fileOf(bytes));
      const { headers } = await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) });
      expect([headers['content-length'], headers['transfer-encoding']]).toEqual([String(bytes), undefined]);
    }
  });
});

describe('a refusal', () => {
  const BASIC = { 'www-authenticate': 'Basic realm="Usergrid Authentication"' };

  it.each([400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503, 504, 507])(
    'with %i that is no JSON, or looks like a success, comes in JSON with the keys of Easemob, and asks for no password',
    async (status) => {
      for (const body of ['<html>no</html>', '', '{"entities":[{"uuid":"x"}]}', '{"error":"x","entities":[]}', '[1]']) {
        const headers = { 'content-type': body.startsWith('<') ? 'text/html' : 'application/json', ...BASIC };
        const { gateway } = await start(() => ({ status, headers, body }));
        for (const reply of await askAll(gateway.url)) {
          expect([status, reply.headers['content-type']]).toEqual([status, 'application/json']);
          expect(Object.keys(JSON.parse(reply.body.toString()) as object).toSorted()).toEqual(KEYS);
          expect(reply.headers).not.toHaveProperty('www-authenticate');
          expect(reply.status).toBeGreaterThanOrEqual(400);
        }
      }
    },
  );

  it('of Easemob comes as it is, but for a field that would make a browser ask for a password', async () => {
    const body = { error: 'unauthorized', error_description: 'Unable to authenticate (OAuth)', more: 1 };
    const { gateway } = await start(() => ({ status: 401, headers: BASIC, body }), ['access.refusalSeconds=0']);
    for (const reply of await askAll(gateway.url)) {
      expect([reply.status, JSON.parse(reply.body.toString())]).toEqual([401, body]);
      expect(reply.headers).not.toHaveProperty('www-authenticate');
    }
  });
});

describe('an upstream that is not there', () => {
  const ENDINGS: [string, Scripted, number][] = [
    ['cuts the connection', { reset: true }, 502],
    ['answers 502 in HTML', { status: 502, body: '<html>' }, 502],
    ['answers 504 in HTML', { status: 504, body: '<html>' }, 504],
    ['answers 502 in JSON', { status: 502, body: { error: 'bad_gateway' } }, 502],
    ['answers 504 in JSON', { status: 504, body: { error: 'timeout' } }, 504],
    ['answers 500 in HTML', { status: 500, body: '<html>' }, 502],
    ['redirects', { status: 302, headers: { location: 'http://127.0.0.1:9/' } }, 502],
    ['breaks off', { headers: { 'content-length': '9', connection: 'close' }, body: 'x' }, 502],
  ];
  const FAST = ['upstream.idleTimeoutMs=200'];

  it.each(ENDINGS)('and %s is told as HTTP has it', async (_case, ending, status) => {
    const { gateway } = await start(() => ending, FAST);
    const replies = await askAll(gateway.url);
    expect(replies.map((reply) => reply.status).filter((each) => each !== status && each !== 504)).toEqual([]);
  });

  it.each(ENDINGS)('and %s is told with 503, where SDKs would look for another host', async (_case, ending) => {
    const { gateway } = await start(() => ending, [...FAST, 'compat.unavailableStatus=503']);
    const replies = await askAll(gateway.url);
    expect(replies.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503]);
  });

  it.each([
    [[], 502],
    [['compat.unavailableStatus=503'], 503],
  ] as const)('at all: %j', async (set, status) => {
    const { gateway, summaries } = await startGateway({
      upstreamUrl: `http://127.0.0.1:${await freePort()}`,
      set: ['retry.attempts=1', 'passthrough=**', ...set],
    });
    const replies = await askAll(gateway.url);
    expect(replies.map((reply) => reply.status)).toEqual(Array(5).fill(status));
    expect(summaries.every(({ error }) => error === 'UPSTREAM_UNREACHABLE')).toBe(true);
  });
});
