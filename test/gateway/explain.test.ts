/** What the operator is told of a request is what becomes of it; and telling changes nothing. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { Explained } from '../../src/server/explain-steps.ts';
import type { Summary } from '../../src/server/summarize.ts';
import { ask } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { type Running, startGateway } from '../kit/gateway.ts';

const OPERATOR = 'an-operators-token-0123';

async function explain({ gateway }: Running, question: object): Promise<Explained & { text: string }> {
  const response = await fetch(`${gateway.adminUrl}/explain`, {
    method: 'POST',
    headers: bearer(OPERATOR),
    body: JSON.stringify(question),
  });
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.any(String)]);
  return { ...(JSON.parse(text) as Explained), text };
}

async function start(set: string[] = []) {
  const running = await startGateway({ set: [`admin.token=${OPERATOR}`, 'destinations=o1/a1', ...set] });
  const token = running.emulator.issueToken(ORG, APP);
  const { uuid, secret } = await uploadTo(running.emulator.url, token, fileOf(50));
  running.emulator.clearReceived();
  return { ...running, token, uuid, secret, path: `${CHATFILES}/${uuid}` };
}

describe('an explanation', () => {
  it.each<[string, { method?: string; path?: string; headers?: Record<string, string> }]>([
    ['no path of a file', { path: '/o1/a1/nothing' }],
    ['an app that is not on the list', { path: '/o2/a2/chatfiles/x' }],
    ['another method', { method: 'DELETE' }],
    ['no token', { headers: {} }],
    ['a token of no known form', { headers: { authorization: 'Bearer a b' } }],
    ['a query that is refused', { path: `${CHATFILES}/x?access_token=abc` }],
    [
      'two secrets',
      { path: `${CHATFILES}/x?share-secret=a`, headers: { authorization: 'Bearer t', 'share-secret': 'b' } },
    ],
    [
      'an upload that announces too much',
      {
        method: 'POST',
        path: CHATFILES,
        headers: {
          authorization: 'Bearer t',
          'content-type': 'multipart/form-data; boundary=b',
          'content-length': '99999999',
        },
      },
    ],
    [
      'an upload of nothing',
      {
        method: 'POST',
        path: CHATFILES,
        headers: {
          authorization: 'Bearer t',
          'content-type': 'multipart/form-data; boundary=b',
          'content-length': '0',
        },
      },
    ],
    [
      'an upload that is no form',
      {
        method: 'POST',
        path: CHATFILES,
        headers: { authorization: 'Bearer t', 'content-type': 'text/plain', 'content-length': '2' },
      },
    ],
  ])('of %s is what becomes of it', async (_case, { method = 'GET', path, headers }) => {
    const running = await start();
    const question = { method, path: path ?? running.path, headers: headers ?? bearer(running.token) };
    const told = await explain(running, question);
    const reply = await ask(`${running.gateway.url}${question.path}`, question);
    expect([told.decision, told.status]).toEqual(['deny', reply.status]);
    expect(told.decisionReason).toBe(running.summaries[0]?.decisionReason);
    expect(told.steps.at(-1)).toMatchObject({ verdict: 'deny' });
    expect(running.emulator.received()).toEqual([]);
  });

  it.each<[string, string, { method?: string; headers?: Record<string, string> }]>([
    ['a login by another method', 'token', {}],
    [
      'a login that announces too much',
      'token',
      { method: 'POST', headers: { 'content-type': 'application/json', 'content-length': '999999' } },
    ],
    ['somebody without a token', 'users/ann', { headers: {} }],
    ['a method that is not known there', 'users/ann', { method: 'PATCH' }],
    [
      'a body that is too large',
      'users/ann',
      { method: 'PUT', headers: { authorization: 'Bearer t', 'content-length': '99999999' } },
    ],
  ])('of %s beside the files is what becomes of it', async (_case, path, { method = 'GET', headers }) => {
    const running = await start(['passthrough=token,users/**']);
    const question = { method, path: `/${ORG}/${APP}/${path}`, headers: headers ?? bearer(running.token) };
    const told = await explain(running, question);
    const reply = await ask(`${running.gateway.url}${question.path}`, question);
    expect([told.decision, told.status]).toEqual(['deny', reply.status]);
    expect(told.decisionReason).toBe(running.summaries[0]?.decisionReason);
    expect(running.emulator.received()).toEqual([]);
  });

  it('tells whether a thumbnail is kept, and whether this bearer may see it', async () => {
    const running = await start();
    const { gateway, emulator, token } = running;
    const { uuid } = await uploadTo(emulator.url, token, new Uint8Array(await readFile('samples/picture.jpg')));
    emulator.clearReceived();
    const picture = { path: `${CHATFILES}/${uuid}`, headers: bearer(token, { thumbnail: 'true' }) };
    const before = await explain(running, picture);
    expect([before.decisionReason, before.text]).toEqual(['upstream', expect.stringContaining('not kept')]);
    expect(emulator.received()).toEqual([]);
    expect((await ask(`${gateway.url}${picture.path}`, picture)).status).toBe(200);
    const after = await explain(running, picture);
    expect([after.decisionReason, after.text]).toEqual(['cache', expect.stringContaining('in memory')]);
    await ask(`${gateway.url}${picture.path}`, picture);
    expect(running.summaries.map(({ decisionReason }) => decisionReason)).toEqual(['upstream', 'cache']);
    const stranger = await explain(running, { ...picture, headers: bearer('a-stranger', { thumbnail: 'true' }) });
    expect([stranger.decisionReason, stranger.text]).toEqual([
      'upstream',
      expect.stringContaining('has not accepted the token'),
    ]);
  });

  it('remembers that Easemob has just refused a token', async () => {
    const running = await start();
    const question = { path: running.path, headers: bearer('made-up') };
    expect((await explain(running, question)).decision).toBe('allow');
    await ask(`${running.gateway.url}${running.path}`, question);
    expect(await explain(running, question)).toMatchObject({
      decision: 'deny',
      decisionReason: 'TOKEN_REFUSED',
      status: 401,
    });
  });

  it('tells what a policy would have denied that only reports', async () => {
    const running = await start(['enforce.tokens=report']);
    const question = { path: running.path, headers: {} };
    const told = await explain(running, question);
    expect(told.steps).toContainEqual({
      step: 'enforce',
      verdict: 'report',
      says: expect.stringContaining('TOKEN_MISSING'),
    });
    expect([told.decision, told.decisionReason]).toEqual(['allow', 'upstream']);
    await ask(`${running.gateway.url}${running.path}`);
    expect(running.summaries[0]).toMatchObject({ decision: 'allow', wouldDeny: 'TOKEN_MISSING' });
  });

  it('teaches nothing, counts nothing, and holds no secret', async () => {
    const running = await start(['clientLimit.requests=2']);
    const { gateway, summaries, path } = running;
    const stats = async () => (await fetch(`${gateway.adminUrl}/cache`, { headers: bearer(OPERATOR) })).text();
    const before = await stats();
    const headers = bearer('a-token-nobody-knows', { 'share-secret': 'a-very-secret-secret', thumbnail: 'true' });
    for (let i = 0; i < 10; i += 1) {
      const { text } = await explain(running, { path, headers, client: '127.0.0.1' });
      expect(text).not.toMatch(/a-token-nobody-knows|a-very-secret-secret/);
    }
    expect(await stats()).toBe(before);
    expect(summaries).toEqual([]);
    // The limit of this client has two requests left, as before.
    expect((await ask(`${gateway.url}${path}`, { headers: bearer(running.token) })).status).toBe(200);
  });

  it.each([
    ['no JSON', '{"path": "/secret-thing'],
    ['no path', '{"method":"GET"}'],
    ['an unknown member', '{"path":"/x","secret-thing":1}'],
    ['a line break in a field', JSON.stringify({ path: '/x', headers: { authorization: 'secret-thing\r\nx: y' } })],
    ['a field that is no name', JSON.stringify({ path: '/x', headers: { 'a b': 'secret-thing' } })],
    ['a list', '[]'],
    ['too much', JSON.stringify({ path: '/x', headers: { a: 'secret-thing'.repeat(10_000) } })],
  ])('refuses a question with %s, and tells nothing of it', async (_case, body) => {
    const { gateway } = await start();
    const response = await fetch(`${gateway.adminUrl}/explain`, { method: 'POST', headers: bearer(OPERATOR), body });
    expect([400, 413]).toContain(response.status);
    expect(await response.text()).not.toContain('secret-thing');
  });
});

describe('a request that was', () => {
  it('is told by its id, which its client has seen', async () => {
    const { gateway, token, path } = await start();
    const reply = await ask(`${gateway.url}${path}`, { headers: bearer(token) });
    const id = String(reply.headers['x-request-id']);
    const told = await fetch(`${gateway.adminUrl}/explain/${id}`, { headers: bearer(OPERATOR) });
    expect((await told.json()) as Summary).toMatchObject({
      id,
      status: 200,
      decision: 'allow',
      decisionReason: 'upstream',
    });
    expect((await fetch(`${gateway.adminUrl}/explain/another`, { headers: bearer(OPERATOR) })).status).toBe(404);
  });

  it('is told among others of its kind', async () => {
    const { gateway, token, path } = await start();
    await ask(`${gateway.url}${path}`, { headers: bearer(token) });
    await ask(`${gateway.url}${path}`);
    const list = async (query: string) => {
      const response = await fetch(`${gateway.adminUrl}/explain${query}`, { headers: bearer(OPERATOR) });
      return { status: response.status, ...((await response.json()) as { requests?: Summary[] }) };
    };
    expect((await list('')).requests?.map(({ status }) => status)).toEqual([401, 200]);
    expect((await list('?decision=deny')).requests?.map(({ decisionReason }) => decisionReason)).toEqual([
      'TOKEN_MISSING',
    ]);
    expect((await list('?most=1')).requests).toHaveLength(1);
    for (const query of ['?most=x', '?cause=x']) expect((await list(query)).status).toBe(400);
  });
});
