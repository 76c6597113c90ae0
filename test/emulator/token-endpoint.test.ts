import { describe, expect, test } from 'vitest';
import { curl, json, startCloud } from './kit.ts';
import type { Cloud } from './kit.ts';

const ann = { org: 'acme', app: 'chat', username: 'ann', password: 'secret' };
const bob = { org: 'acme', app: 'chat', username: 'bob', password: 'secret', activated: false };
const client = { org: 'acme', app: 'chat', clientId: 'YXA6id', clientSecret: 'YXA6secret' };

const start = () => startCloud({ users: [ann, bob], clients: [client], apps: ['acme/chat'] });

const login = (cloud: Cloud, body: unknown) =>
  fetch(`${cloud.base}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

test('a password gets a token, its lifetime and the user', async () => {
  await using cloud = await start();
  const answer = await login(cloud, { grant_type: 'password', username: 'ann', password: 'secret' });
  expect(answer.status).toBe(200);
  const body = await json(answer);
  expect(Object.keys(body)).toEqual(['access_token', 'expires_in', 'user']);
  expect(body.access_token).toMatch(/^YWMt[\w-]{59}$/);
  expect(body.expires_in).toBe(604_800);
  expect(body.user).toMatchObject({ type: 'user', username: 'ann', activated: true });
  expect(Object.keys(body.user)).toEqual(['uuid', 'type', 'created', 'modified', 'username', 'activated']);
});

test('a client id and secret get a token of the app, which may upload and download', async () => {
  await using cloud = await start();
  const grant = { grant_type: 'client_credentials', client_id: 'YXA6id', client_secret: 'YXA6secret' };
  const body = await json(await login(cloud, grant));
  expect(Object.keys(body)).toEqual(['access_token', 'expires_in', 'application']);
  const headers = { Authorization: `Bearer ${body.access_token}` };
  const { uuid } = await cloud.store(Buffer.from('x'), { headers });
  expect((await cloud.get(uuid, headers)).status).toBe(200);
});

test('the form that OAuth describes is taken as well, and so is JSON that curl calls a form', async () => {
  await using cloud = await start();
  const form = await curl('-d', 'grant_type=password&username=ann&password=secret', `${cloud.base}/token`);
  const mislabelled = await curl(
    '-d',
    '{"grant_type":"password","username":"ann","password":"secret"}',
    `${cloud.base}/token`,
  );
  expect(JSON.parse(form)).toHaveProperty('access_token');
  expect(JSON.parse(mislabelled)).toHaveProperty('access_token');
});

test('lifetime and layout are as configured, and a login may wish for another lifetime', async () => {
  await using cloud = await startCloud({ users: [ann], tokenTtlSeconds: 60, tokenLayout: 'long' });
  const grant = { grant_type: 'password', username: 'ann', password: 'secret' };
  const usual = await json(await login(cloud, grant));
  expect(usual.expires_in).toBe(60);
  expect(usual.access_token).toHaveLength(130);
  expect((await json(await login(cloud, { ...grant, ttl: 1000 }))).expires_in).toBe(1000);
});

describe('a login is refused', () => {
  test.each([
    ['with a wrong password', { grant_type: 'password', username: 'ann', password: 'x' }, 400, 'invalid password'],
    ['without a password', { grant_type: 'password', username: 'ann' }, 400, 'invalid username or password'],
    ['of an unknown user', { grant_type: 'password', username: 'eve', password: 'x' }, 404, 'user not found'],
    ['before activation', { grant_type: 'password', username: 'bob', password: 'secret' }, 400, 'user not activated'],
    [
      'with wrong client credentials',
      { grant_type: 'client_credentials', client_id: 'YXA6id', client_secret: 'x' },
      400,
      'client_id does not match',
    ],
  ])('%s', async (_when, grant, status, description) => {
    await using cloud = await start();
    const answer = await login(cloud, grant);
    expect(answer.status).toBe(status);
    expect(await json(answer)).toMatchObject({ error: 'invalid_grant', error_description: description });
  });

  test.each([
    ['of an unknown kind', { grant_type: 'magic' }, 400, 'unsupported_grant_type'],
    ['of no kind', {}, 400, 'unsupported_grant_type'],
    ['that is no object', [1], 400, 'illegal_argument'],
    ['that is no JSON', '{', 400, 'illegal_argument'],
    ['that is empty', '', 400, 'illegal_argument'],
    ['that is far too long', `"${'x'.repeat(2_000_000)}"`, 413, 'illegal_argument'],
  ])('%s', async (_when, grant, status, error) => {
    await using cloud = await start();
    const answer = await login(cloud, grant);
    expect(answer.status).toBe(status);
    expect(await json(answer)).toMatchObject({ error });
  });

  test('in an app that does not exist, naming the path', async () => {
    await using cloud = await start();
    const answer = await fetch(`${cloud.url}/acme/other/token`, { method: 'POST', body: '{}' });
    expect(answer.status).toBe(404);
    expect(await json(answer)).toMatchObject({
      error: 'organization_application_not_found',
      error_description: 'Could not find application for acme/other from URI: acme/other/token',
    });
  });
});
