import { expect, test } from 'vitest';
import { createApps } from '../../src/emulator/apps.ts';
import { json, startCloud } from './kit.ts';
import type { Cloud } from './kit.ts';

const register = (cloud: Cloud, body: unknown, app = 'chat') =>
  fetch(`${cloud.url}/acme/${app}/users`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

test('anybody may register, and then log in', async () => {
  await using cloud = await startCloud();
  const answer = await register(cloud, { username: 'Zoe', password: 'pw' });
  expect(answer.status).toBe(200);
  const body = await json(answer);
  expect(body).toMatchObject({ action: 'post', path: '/users', organization: 'acme', applicationName: 'chat' });
  expect(body.uri).toBe(`${cloud.base}/users`);
  expect(body.entities).toEqual([
    {
      uuid: expect.any(String),
      type: 'user',
      created: expect.any(Number),
      modified: expect.any(Number),
      username: 'zoe',
      activated: true,
    },
  ]);
  const grant = JSON.stringify({ grant_type: 'password', username: 'zoe', password: 'pw' });
  expect((await fetch(`${cloud.base}/token`, { method: 'POST', body: grant })).status).toBe(200);
});

test('an array registers several, and tells which names were taken', async () => {
  await using cloud = await startCloud();
  const both = await json(
    await register(cloud, [
      { username: 'u1', password: 'p' },
      { username: 'u2', password: 'p' },
    ]),
  );
  expect(both.entities.map((user: { username: string }) => user.username)).toEqual(['u1', 'u2']);
  expect(both).not.toHaveProperty('data');
  const mixed = await json(
    await register(cloud, [
      { username: 'u2', password: 'p' },
      { username: 'u3', password: 'p' },
    ]),
  );
  expect(mixed.entities).toHaveLength(1);
  expect(mixed.data).toEqual([{ username: 'u2', registerUsernameFailReason: 'the username already exists' }]);
});

test.each([
  ['a name that is taken', { username: 'ann', password: 'p' }, 'duplicate_unique_property_exists'],
  ['a name that is taken but for its case', { username: 'ANN', password: 'p' }, 'duplicate_unique_property_exists'],
  ['a name with a space', { username: 'a b', password: 'p' }, 'illegal_argument'],
  ['a name of 65 characters', { username: 'a'.repeat(65), password: 'p' }, 'illegal_argument'],
  ['no name', { password: 'p' }, 'illegal_argument'],
  ['no password', { username: 'u' }, 'illegal_argument'],
  ['a number for a password', { username: 'u', password: 5 }, 'illegal_argument'],
  ['an empty array', [], 'illegal_argument'],
  [
    'more than 60 at once',
    Array.from({ length: 61 }, (_, n) => ({ username: `u${n}`, password: 'p' })),
    'illegal_argument',
  ],
  ['null', null, 'illegal_argument'],
])('registering is refused with %s', async (_what, body, error) => {
  await using cloud = await startCloud();
  const answer = await register(cloud, body);
  expect(answer.status).toBe(400);
  expect(await json(answer)).toMatchObject({ error });
  expect(cloud.stats().users).toBe(1);
});

test('one name may be taken in each app', async () => {
  await using cloud = await startCloud();
  expect((await register(cloud, { username: 'ann', password: 'p' }, 'other')).status).toBe(200);
});

test('registration ends when the emulator has as many users as it can hold', () => {
  const apps = createApps({ apps: 'any', users: [], clients: 'any', now: () => 0 }, 1);
  apps.register({ org: 'o', app: 'a', username: 'one', password: 'p' });
  expect(() => apps.register({ org: 'o', app: 'a', username: 'two', password: 'p' })).toThrow(/exceeded the limit/);
});

test('an app is written org/app', () => {
  expect(() => createApps({ apps: ['acme'], users: [], clients: 'any', now: () => 0 })).toThrow(/'acme'/);
});
