import { describe, expect, test } from 'vitest';
import { createTokens } from '../../src/emulator/tokens.ts';
import type { Principal } from '../../src/emulator/tokens.ts';
import { json, startCloud } from './kit.ts';

const DAY_MS = 86_400_000;
const ann: Principal = {
  kind: 'user',
  org: 'acme',
  app: 'chat',
  application: '3c43f5bd-e7cf-55f1-aec6-d8a23696e595',
  uuid: '0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae',
};

function book(maxTokens?: number) {
  const clock = { at: Date.UTC(2026, 0, 1) };
  const tokens = createTokens({ ttlSeconds: 3600, layout: 'short' }, () => clock.at, maxTokens);
  return { clock, tokens, verify: (token: string, app = 'chat') => tokens.verify(token, 'acme', app) };
}

describe.each(['short', 'long'] as const)('a token of the %s layout', (layout) => {
  test('speaks for its user until it expires', () => {
    const { clock, tokens, verify } = book();
    const { token } = tokens.issue(ann, { layout });
    expect(verify(token)).toEqual({ ok: true, principal: ann });
    clock.at += 3_600_000 - 1;
    expect(verify(token)).toMatchObject({ ok: true });
    clock.at += 1;
    expect(verify(token)).toEqual({ ok: false, reason: 'expired' });
  });

  test('is foreign for another app, another cloud, and when a bit of it was changed', () => {
    const { tokens, verify } = book();
    const { token } = tokens.issue(ann, { layout });
    const changed = token.slice(0, 10) + (token[10] === 'A' ? 'B' : 'A') + token.slice(11);
    expect(verify(token, 'other')).toEqual({ ok: false, reason: 'foreign' });
    expect(verify(book().tokens.issue(ann, { layout }).token)).toEqual({ ok: false, reason: 'foreign' });
    expect(verify(changed)).toEqual({ ok: false, reason: 'foreign' });
  });

  test('is unknown once it is revoked, and cannot be revoked twice', () => {
    const { tokens, verify } = book();
    const { token } = tokens.issue(ann, { layout });
    expect(tokens.revoke(token)).toBe(true);
    expect(verify(token)).toEqual({ ok: false, reason: 'unknown' });
    expect(tokens.revoke(token)).toBe(false);
  });

  test('of a lifetime below nought has expired from the start', () => {
    const { tokens, verify } = book();
    expect(verify(tokens.issue(ann, { layout, ttlSeconds: -1 }).token)).toEqual({ ok: false, reason: 'expired' });
  });
});

test('the short layout has 63 characters: an id of version 1, the expiry and a sha1', () => {
  const { clock, tokens } = book();
  const { token } = tokens.issue(ann, { layout: 'short', ttlSeconds: 7 * 86_400 });
  expect(token).toMatch(/^YWMt[\w-]{59}$/);
  const bytes = Buffer.from(token.slice(4), 'base64url');
  expect(bytes.length).toBe(44);
  expect(bytes.readUInt16BE(6) >> 12).toBe(1);
  expect(Number(bytes.readBigInt64BE(16))).toBe(clock.at + 7 * DAY_MS);
});

test('the long layout has 130 characters and names the app, the user, the kind and the lifetime', () => {
  const { clock, tokens } = book();
  const { token } = tokens.issue(ann, { layout: 'long', ttlSeconds: 5_184_000 });
  expect(token).toMatch(/^YWMt[\w-]{126}$/);
  const bytes = Buffer.from(token.slice(4), 'base64url');
  expect(bytes.subarray(16, 32).toString('hex')).toBe(ann.application.replaceAll('-', ''));
  expect(bytes.subarray(32, 48).toString('hex')).toBe(ann.uuid.replaceAll('-', ''));
  expect([bytes[48], bytes[49]]).toEqual([3, 3]);
  expect(Number(bytes.readBigInt64BE(50))).toBe(clock.at);
  expect(bytes.readUInt32BE(58)).toBe(5_184_000);
});

test('an app token of the long layout stands for the whole app', () => {
  const { tokens } = book();
  const { token } = tokens.issue({ ...ann, kind: 'app' }, { layout: 'long' });
  const bytes = Buffer.from(token.slice(4), 'base64url');
  expect(bytes.subarray(16, 32).toString('hex')).toBe('00000000000000000000000000000001');
  expect(bytes[48]).toBe(2);
});

test.each([
  ['nothing at all', ''],
  ['another prefix', 'cmUtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7Y'],
  ['a character too few', 'YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7'],
  ['a character of another alphabet', 'YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9+i4c9_c4rcx1qJDduwylRe7Y'],
  ['bits behind the last byte', 'YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7Z'],
  ['another kind of token', '007eJxTYBBa'],
])('a token with %s is malformed', (_why, token) => {
  expect(book().verify(token)).toEqual({ ok: false, reason: 'malformed' });
});

// It says that it expired in 2014, but nobody here signed that: the signature is looked at before the expiry, as in
// Usergrid, so it is a token of another system.
test("the page's own sample token is foreign", () => {
  const sample = 'YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7Y';
  expect(book().verify(sample)).toEqual({ ok: false, reason: 'foreign' });
});

test('the oldest token is forgotten when there are too many', () => {
  const { tokens, verify } = book(2);
  const [first = '', second = '', third = ''] = [1, 2, 3].map(() => tokens.issue(ann).token);
  expect([verify(first).ok, verify(second).ok, verify(third).ok]).toEqual([false, true, true]);
  expect(tokens.count).toBe(2);
});

test.each([
  ['none', undefined, 'unauthorized', 'Unable to authenticate (OAuth)'],
  ['one of another scheme', 'Basic YTpi', 'unauthorized', 'Unable to authenticate (OAuth)'],
  ['a malformed one', 'Bearer abc', 'auth_bad_access_token', 'Unable to authenticate due to corrupt access token'],
  [
    'one of another system',
    'Bearer YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7Y',
    'auth_bad_access_token',
    'Unable to authenticate',
  ],
  ['one of another app', 'other', 'auth_bad_access_token', 'Unable to authenticate'],
  ['an expired one', 'expired', 'unauthorized', 'Unable to authenticate due to expired access token'],
  ['a revoked one', 'revoked', 'unauthorized', 'Unable to authenticate (OAuth)'],
])(
  'with a token that is %s, uploads and downloads get 401 in the words for that',
  async (_which, given, error, text) => {
    await using cloud = await startCloud();
    const made: Record<string, () => string> = {
      other: () => cloud.issueToken('acme', 'other'),
      expired: () => cloud.issueToken('acme', 'chat', { ttlSeconds: -5 }),
      revoked() {
        const token = cloud.issueToken('acme', 'chat');
        cloud.revokeToken(token);
        return token;
      },
    };
    const make = given === undefined ? undefined : made[given];
    const value = make ? `Bearer ${make()}` : given;
    const headers: Record<string, string> = value === undefined ? {} : { authorization: value };
    const form = new FormData();
    form.append('file', new Blob(['x']), 'x');
    const { uuid } = await cloud.store(Buffer.from('x'));
    const answers = [
      await fetch(`${cloud.base}/chatfiles`, { method: 'POST', body: form, headers }),
      await fetch(`${cloud.base}/chatfiles/${uuid}`, { headers }),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(401);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      const body = await json(answer);
      expect(Object.keys(body)).toEqual(['error', 'exception', 'timestamp', 'duration', 'error_description']);
      expect(body).toMatchObject({ error, error_description: text, exception: 'EasemobSecurityException' });
    }
    expect(cloud.stats().storedFiles).toBe(1);
  },
);

test('the scheme may be written in any case, and access_token in the query goes before the header', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(Buffer.from('x'));
  const lower = await fetch(`${cloud.base}/chatfiles/${uuid}`, { headers: { authorization: `bearer ${cloud.token}` } });
  expect(lower.status).toBe(200);
  const inQuery = await fetch(`${cloud.base}/chatfiles/${uuid}?access_token=${cloud.token}`);
  expect(inQuery.status).toBe(200);
  expect((await cloud.get(uuid, {}, '?access_token=nonsense')).status).toBe(401);
});
