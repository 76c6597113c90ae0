import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, type Question } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { type RunOptions, type Running, startGateway } from '../kit/gateway.ts';
import { startGatewayProcess } from '../kit/process.ts';
import { startRedis } from '../kit/redis.ts';
import { startScriptedUpstream } from '../kit/scripted-upstream.ts';
import { readFile } from 'node:fs/promises';

const TOKENS = `/${ORG}/${APP}/token`;
const USERS = ['ann', 'bob'].map((username) => ({ org: ORG, app: APP, username, password: 'secret' }));
const PICTURE = new Uint8Array(await readFile(new URL('../../samples/picture.jpg', import.meta.url)));

type Login = { access_token: string; expires_in: number; user: { username: string } };

const start = ({ set = [], emulator = {}, ...options }: RunOptions = {}) =>
  startGateway({ set: ['passthrough=token', ...set], emulator: { users: USERS, ...emulator }, ...options });

const credentials = (username: string, password = 'secret') =>
  Buffer.from(JSON.stringify({ grant_type: 'password', username, password }));

const logIn = ({ gateway }: Pick<Running, 'gateway'>, username: string, question: Question = {}) => {
  const headers = { 'content-type': 'application/json' };
  return ask(gateway.url + TOKENS, { method: 'POST', headers, body: credentials(username), ...question });
};

const tokenIn = (body: Buffer): string => (JSON.parse(body.toString()) as Login).access_token;

describe('a login', () => {
  it('needs no token, and comes back as Easemob answers it, for no cache to keep', async () => {
    const running = await start();
    const { status, headers, body } = await logIn(running, 'ann');
    expect(status).toBe(200);
    expect(JSON.parse(body.toString())).toMatchObject({ expires_in: 604_800, user: { username: 'ann' } });
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'content-length': String(body.length) });
    expect(running.summaries).toMatchObject([{ route: 'login', status: 200, app: `${ORG}/${APP}`, attempts: 1 }]);
    await uploadTo(running.gateway.url, tokenIn(body), 'a file');
  });

  it.each([
    ['with a wrong password', { body: credentials('ann', 'wrong') }, 400, 'invalid password'],
    ['of a stranger', { body: credentials('eve') }, 404, 'user not found'],
  ])('%s is refused in the words of Easemob', async (_case, question, status, description) => {
    const reply = await logIn(await start(), 'ann', question);
    expect([reply.status, JSON.parse(reply.body.toString())]).toEqual([
      status,
      expect.objectContaining({ error: 'invalid_grant', error_description: description }),
    ]);
    expect(reply.headers['cache-control']).toBe('no-store');
  });

  it('brings a token with which what is kept is seen at once', async () => {
    const running = await start();
    const { gateway, emulator } = running;
    const ann = tokenIn((await logIn(running, 'ann')).body);
    const { uuid } = await uploadTo(gateway.url, ann, PICTURE);
    const see = (token: string) =>
      ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token, { thumbnail: 'true' }) });
    expect((await see(ann)).headers['cache-status']).toContain('stored');
    const bob = tokenIn((await logIn(running, 'bob')).body);
    emulator.clearReceived();
    expect((await see(bob)).headers['cache-status']).toBe('chatfiles-gateway; hit; detail=memory');
    expect(emulator.received()).toEqual([]);
    // Who has logged in elsewhere has to be asked about.
    const elsewhere = emulator.issueToken(ORG, APP, { username: 'bob' });
    expect((await see(elsewhere)).headers['cache-status']).toContain('fwd=request');
    emulator.revokeToken(bob);
    expect((await see(bob)).status).toBe(200);
    expect((await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(bob) })).status).toBe(401);
    expect((await see(bob)).status).toBe(401);
  });

  it('that Easemob refuses brings nothing, whatever is in its answer', async () => {
    const token = 'YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7Y';
    const pictures = { 'content-type': 'image/jpeg', 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' };
    const upstream = await startScriptedUpstream(({ path, headers }) => {
      if (path === TOKENS) return { status: 400, body: { error: 'invalid_grant', access_token: token } };
      const isKnown = headers.authorization === 'Bearer known';
      return isKnown
        ? { headers: pictures, body: Buffer.from(PICTURE) }
        : { status: 401, body: { error: 'unauthorized', error_description: 'Unable to authenticate (OAuth)' } };
    });
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const running = await start({ upstreamUrl: upstream.url, set: ['tokens.checkExpiry=false'] });
    const see = (bearerToken: string) =>
      ask(`${running.gateway.url}${CHATFILES}/x`, { headers: bearer(bearerToken, { thumbnail: 'true' }) });
    expect((await see('known')).status).toBe(200);
    expect((await logIn(running, 'ann')).status).toBe(400);
    expect((await see(token)).status).toBe(401);
  });

  it('may bear a token, where it is asked for with one', async () => {
    const upstream = await startScriptedUpstream(() => ({ body: { access_token: 'x' } }));
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const running = await start({ upstreamUrl: upstream.url });
    const statuses = [];
    for (const authorization of ['Bearer 007eJx+/=', '', 'Bearer', 'Basic eDp5', 'Bearer a b']) {
      statuses.push((await logIn(running, 'ann', { headers: { authorization } })).status);
    }
    expect(statuses).toEqual([200, 200, 401, 401, 401]);
    expect(upstream.asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer 007eJx+/=', undefined]);
  });

  it('is a POST, lest a password stands in an address', async () => {
    const { gateway, emulator } = await start();
    const { status, headers } = await ask(`${gateway.url}${TOKENS}?grant_type=password&username=ann&password=secret`);
    expect([status, headers['allow']]).toEqual([405, 'POST']);
    expect(emulator.received()).toEqual([]);
  });

  it('is for an app that may be reached', async () => {
    const running = await start({ set: [`destinations=${ORG}/other`] });
    expect((await logIn(running, 'ann')).status).toBe(404);
    expect(running.emulator.received()).toEqual([]);
  });

  it('is small', async () => {
    const running = await start({ set: ['limits.discardMs=200'] });
    const reply = await logIn(running, 'ann', { body: Buffer.alloc(64 * 1024 + 1, 0x20) });
    expect([reply.status, running.emulator.received()]).toEqual([413, []]);
    const fits = Buffer.concat([credentials('ann'), Buffer.alloc(60_000, 0x20)]);
    expect((await logIn(running, 'ann', { body: fits })).status).toBe(200);
  });

  it('needs no disk, and never gets one', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'logins-test-'));
    onTestFinished(() => rm(dir, { recursive: true }));
    const noRoom = ['memoryPerUploadBytes', 'memoryBytes', 'diskBytes'].map((key) => `spool.${key}=0`);
    const running = await start({ set: [`spool.dir=${dir}`, ...noRoom] });
    const body = Buffer.concat([credentials('ann'), Buffer.alloc(60_000, 0x20)]);
    const { status, body: answer } = await logIn(running, 'ann', { body });
    expect(status).toBe(200);
    // What would wait on the disk finds no room there.
    await expect(uploadTo(running.gateway.url, tokenIn(answer), 'a file')).rejects.toThrow('503');
    // The spool's own folder, and nothing in it.
    expect((await readdir(dir, { recursive: true })).length).toBe(1);
  });

  it('is sent again when Easemob is throttled, with its body', async () => {
    const running = await start();
    running.emulator.fault({ kind: 'unavailable', times: 2, match: { interface: 'token' } });
    expect((await logIn(running, 'ann')).status).toBe(200);
    expect(running.summaries).toMatchObject([{ attempts: 3 }]);
  });

  it('is not sent again once it may have come to something', async () => {
    const running = await start();
    running.emulator.fault({ kind: 'reset', where: 'unanswered', times: 1 });
    expect((await logIn(running, 'ann')).status).toBe(502);
    expect(running.emulator.received()).toHaveLength(1);
  });
});

describe('the limit of logins', () => {
  const FEW = ['loginLimit.requests=3', 'loginLimit.seconds=3600'];

  it('is for each address, and says when to come back', async () => {
    const running = await start({ set: FEW });
    const replies = [];
    for (let i = 0; i < 4; i += 1)
      replies.push(await logIn(running, 'ann', { body: credentials('ann', `guess ${i}`) }));
    expect(replies.map(({ status }) => status)).toEqual([400, 400, 400, 503]);
    expect(Number(replies[3]?.headers['retry-after'])).toBeGreaterThan(3000);
    expect(running.emulator.received()).toHaveLength(3);
    expect((await logIn(running, 'ann', { from: '127.0.0.2' })).status).toBe(200);
  });

  it('is not spent by files, nor files by it', async () => {
    const running = await start({ set: [...FEW, 'clientLimit.requests=4', 'clientLimit.seconds=3600'] });
    const token = running.emulator.issueToken(ORG, APP);
    for (let i = 0; i < 4; i += 1) await uploadTo(running.gateway.url, token, 'a file');
    const statuses = [];
    for (let i = 0; i < 4; i += 1) statuses.push((await logIn(running, 'ann')).status);
    expect(statuses).toEqual([200, 200, 200, 503]);
  });

  it('holds for a login by whatever name', async () => {
    const running = await start({ set: [...FEW, 'passthrough=**'] });
    const statuses = [];
    for (const path of ['token', 'Token', 'token/', '/token', '%74oken', './token', 'token?a=1', 'users/../token']) {
      const url = `${running.gateway.url}/${ORG}/${APP}/${path}`;
      const question = { method: 'POST', body: credentials('ann'), headers: bearer('made-up') };
      statuses.push((await ask(url, question)).status);
    }
    // The client library resolves dot segments itself.
    expect(statuses).toEqual([200, 404, 404, 404, 404, 200, 200, 503]);
  });

  it('is one for all replicas', async () => {
    await using redis = await startRedis();
    const set = [...FEW, `redis.url=${redis.url}`];
    const one = await start({ set });
    const two = await start({ set, upstreamUrl: one.emulator.url });
    await untilShared(one, two);
    const statuses = [];
    for (const { gateway } of [one, two, one, two, one]) statuses.push((await logIn({ gateway }, 'ann')).status);
    expect(statuses).toEqual([200, 200, 200, 503, 503]);
  });
});

/** Logs in from ever new addresses until what one of them counts is seen by the other: both are connected then. */
async function untilShared(one: Running, two: Running): Promise<void> {
  const left = async (running: Running, from: string) =>
    /r=(\d+)/.exec(String((await logIn(running, 'ann', { from })).headers['ratelimit']))?.[1];
  for (let i = 10; i < 250; i += 1) {
    const from = `127.0.0.${i}`;
    if ((await left(one, from)) === '2' && (await left(two, from)) === '1') return;
  }
  throw new Error('the replicas never counted together');
}

describe('of a login nothing is written', () => {
  it('to the log, however it ends', async () => {
    const planted = ['user-7f3a', 'pass-91bc', 'token-5e2d', 'query-c04f', 'told-8811', 'bearer-22aa'];
    const [user, pass, token, query, told, own] = planted;
    const endings = [
      { body: { access_token: token, user: { username: user } } },
      { status: 400, body: { error: told, error_description: `${told} ${pass}`, access_token: token } },
      { status: 401, body: { error: 'unauthorized', error_description: `Unable to authenticate ${told}` } },
      { status: 500, body: `<h1>${told} ${pass}</h1>` },
      { status: 200, body: `{"access_token": "${token}` },
      { status: 302, headers: { location: `http://127.0.0.1:9/${told}?${token}` } },
      { status: 200, headers: { 'content-length': '9999' }, body: `${token}` },
      { reset: true },
    ];
    await using upstream = await startScriptedUpstream((_asked, count) => endings[count - 1] ?? { status: 503 });
    await using gateway = await startGatewayProcess([
      `upstream.url=${upstream.url}`,
      'passthrough=**',
      'log.level=trace',
      'retry.attempts=1',
      'upstream.idleTimeoutMs=300',
      'limits.discardMs=200',
    ]);
    const body = Buffer.from(JSON.stringify({ grant_type: 'password', username: user, password: pass }));
    const path = `${TOKENS}?x=${query}`;
    const ways: [string, Question][] = [
      ...[...endings, 'throttled'].map((): [string, Question] => [path, { body }]),
      [path, { body: Buffer.concat([body, Buffer.alloc(70_000, body)]) }],
      [path, { body, headers: { authorization: `Bearer ${own} ${pass}` } }],
      [path, { body, headers: { authorization: `Basic ${own}`, 'content-type': `${pass}/x` } }],
      [`${path}&access_token=${token}`, { body }],
      [`/${ORG}/${APP}/users/${user}/password`, { body, headers: bearer(`YWMt${own}`) }],
      [path, { method: 'GET' }],
    ];
    for (const [where, question] of ways) await ask(gateway.url + where, { method: 'POST', ...question });
    const output = await gateway.stop();
    expect(output.match(/"msg":"request"/g)).toHaveLength(ways.length);
    expect(planted.filter((text) => output.includes(text))).toEqual([]);
  });
});
