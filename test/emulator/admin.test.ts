import { describe, expect, test } from 'vitest';
import { json, startCloud } from './kit.ts';

test('the overview names every operation', async () => {
  await using cloud = await startCloud();
  expect(Object.keys(await json(await cloud.admin('GET', '/')))).toEqual([
    'GET /received',
    'DELETE /received',
    'GET /stats',
    'GET /faults',
    'POST /faults',
    'DELETE /faults',
    'GET /limiter',
    'PUT /limiter',
    'POST /tokens',
    'POST /tokens/revoke',
    'DELETE /files/{uuid}',
    'POST /files/{uuid}/expire',
  ]);
});

test('received requests can be read, narrowed down and forgotten', async () => {
  await using cloud = await startCloud();
  await cloud.store(Buffer.from('x'));
  for (const name of ['a', 'b', 'c']) await cloud.get(name);
  expect(await json(await cloud.admin('GET', '/received'))).toHaveLength(4);
  expect(await json(await cloud.admin('GET', '/received?interface=upload'))).toMatchObject([{ method: 'POST' }]);
  const [last] = await json(await cloud.admin('GET', '/received?last=1'));
  expect(last).toMatchObject({ path: '/acme/chat/chatfiles/c', status: 404 });
  expect(await json(await cloud.admin('GET', '/received?last=0'))).toEqual([]);
  expect((await cloud.admin('DELETE', '/received')).status).toBe(204);
  expect(await json(await cloud.admin('GET', '/received'))).toEqual([]);
});

test('faults can be set singly or as a list, be seen, and be taken back', async () => {
  await using cloud = await startCloud();
  const one = await cloud.admin('POST', '/faults', { kind: 'unavailable', times: 2 });
  expect(one.status).toBe(201);
  await cloud.admin('POST', '/faults', [{ kind: 'latency', ms: 1 }, { kind: 'truncate' }]);
  expect((await cloud.get('x')).status).toBe(503);
  expect(await json(await cloud.admin('GET', '/faults'))).toEqual([
    { kind: 'unavailable', times: 1 },
    { kind: 'latency', ms: 1 },
    { kind: 'truncate' },
  ]);
  expect((await cloud.admin('DELETE', '/faults')).status).toBe(204);
  expect((await cloud.get('x')).status).toBe(404);
});

test('of a list with a mistake nothing is set', async () => {
  await using cloud = await startCloud();
  expect((await cloud.admin('POST', '/faults', [{ kind: 'truncate' }, { kind: 'explode' }])).status).toBe(400);
  expect(cloud.faults()).toEqual([]);
});

test('the limiter keeps the settings that are not given', async () => {
  await using cloud = await startCloud();
  const changed = await cloud.admin('PUT', '/limiter', { algorithm: 'fixed-window', perSecond: 2, status: 429 });
  expect(changed.status).toBe(200);
  await cloud.admin('PUT', '/limiter', { perSecond: 1 });
  expect(await json(await cloud.admin('GET', '/limiter'))).toMatchObject({
    algorithm: 'fixed-window',
    perSecond: 1,
    status: 429,
    countRefused: false,
  });
});

test('tokens are issued and revoked', async () => {
  await using cloud = await startCloud();
  const issue = (body: unknown) => cloud.admin('POST', '/tokens', body);
  const { access_token: token } = await json(
    await issue({ org: 'acme', app: 'chat', username: 'zoe', layout: 'long' }),
  );
  expect(token).toHaveLength(130);
  const status = async () => (await cloud.get('x', { Authorization: `Bearer ${token}` })).status;
  expect(await status()).toBe(404);
  expect((await cloud.admin('POST', '/tokens/revoke', { token })).status).toBe(204);
  expect(await status()).toBe(401);
  expect((await cloud.admin('POST', '/tokens/revoke', { token })).status).toBe(404);
});

test('files are forgotten and expire', async () => {
  await using cloud = await startCloud();
  const [first, second] = [await cloud.store(Buffer.from('x')), await cloud.store(Buffer.from('y'))];
  expect((await cloud.admin('DELETE', `/files/${first.uuid}`)).status).toBe(204);
  expect((await cloud.admin('POST', `/files/${second.uuid}/expire`)).status).toBe(204);
  expect((await json(await cloud.get(first.uuid))).error).toBe('entity_not_found');
  expect((await json(await cloud.get(second.uuid))).error).toBe('file_expired');
  expect((await cloud.admin('DELETE', `/files/${first.uuid}`)).status).toBe(404);
});

test('counts can be read', async () => {
  await using cloud = await startCloud();
  await cloud.store(Buffer.alloc(10));
  expect(await json(await cloud.admin('GET', '/stats'))).toEqual({
    arrived: 1,
    accepted: 1,
    refused: 0,
    maxPerSecond: { arrived: 1, accepted: 1, upload: 1, download: 0, thumbnail: 0 },
    storedFiles: 1,
    storedBytes: 10,
    users: 1,
    tokens: 1,
  });
});

describe('a mistake is told as a 400 that says what is wrong', () => {
  test.each([
    ['POST', '/faults', { kind: 'explode' }, /kind/],
    ['POST', '/faults', { kind: 'latency', ms: 'much' }, /ms/],
    ['POST', '/faults', { kind: 'hang', wher: 'start' }, /wher/],
    ['POST', '/faults', undefined, /expected object/],
    ['PUT', '/limiter', { algorithm: 'magic' }, /sliding-log/],
    ['PUT', '/limiter', { perSecond: 0 }, /perSecond/],
    ['PUT', '/limiter', { speed: 1 }, /speed/],
    ['PUT', '/limiter', [], /expected object/],
    ['POST', '/tokens', { org: 'acme' }, /app/],
    ['POST', '/tokens/revoke', {}, /token/],
    ['GET', '/received?last=x', undefined, /last/],
  ])('%s %s %j', async (method, path, body, message) => {
    await using cloud = await startCloud();
    const answer = await cloud.admin(method, path, body);
    expect(answer.status).toBe(400);
    expect((await json(answer)).error_description).toMatch(message);
  });

  test('a body that is no JSON, or too large', async () => {
    await using cloud = await startCloud();
    const send = (body: string) => fetch(`${cloud.adminUrl}/faults`, { method: 'POST', body });
    expect((await json(await send('{'))).error_description).toBe('the body is not JSON');
    expect((await send(`"${'x'.repeat(2_000_000)}"`)).status).toBe(400);
  });

  test.each([
    ['GET', '/nothing'],
    ['PATCH', '/limiter'],
    ['GET', '/files/x'],
    ['GET', '/constructor'],
  ])('%s %s is not there', async (method, path) => {
    await using cloud = await startCloud();
    expect((await cloud.admin(method, path)).status).toBe(404);
  });
});
