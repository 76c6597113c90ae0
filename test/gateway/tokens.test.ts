import { describe, expect, it } from 'vitest';
import { APP, bearer, CHATFILES, ORG } from '../kit/easemob.ts';
import { type RunOptions, startGateway } from '../kit/gateway.ts';

/** The token of Easemob's own page: issued on 2014-05-28 for seven days. */
const PAGE_TOKEN = 'YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7Y';
const FILE = `${CHATFILES}/0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae`;

type Refusal = { error: string; error_description: string };

/** A gateway, and a way to ask for a file with an Authorization field or none. */
async function start(options: RunOptions = {}) {
  const running = await startGateway(options);
  const ask = async (authorization?: string, path = FILE) => {
    const response = await fetch(`${running.gateway.url}${path}`, authorization ? { headers: { authorization } } : {});
    const { error, error_description } = (await response.json()) as Refusal;
    return { status: response.status, error, error_description, headers: response.headers };
  };
  return { ...running, ask };
}

const MISSING = { status: 401, error: 'unauthorized', error_description: 'Unable to authenticate (OAuth)' };
const MALFORMED = {
  status: 401,
  error: 'auth_bad_access_token',
  error_description: 'Unable to authenticate due to corrupt access token',
};
const EXPIRED = {
  status: 401,
  error: 'unauthorized',
  error_description: 'Unable to authenticate due to expired access token',
};

describe('a token that the gateway can judge', () => {
  it.each([
    ['none', undefined, MISSING],
    ['Basic credentials', 'Basic YWxpY2U6d29uZGVybGFuZA==', MISSING],
    ['a token without a scheme', PAGE_TOKEN, MISSING],
    ['a scheme without a token', 'Bearer', MALFORMED],
    ['a shell variable that was not expanded', 'Bearer ${token}', MALFORMED],
    ['two tokens', `Bearer ${PAGE_TOKEN} ${PAGE_TOKEN}`, MALFORMED],
    ["the expired one of Easemob's page", `Bearer ${PAGE_TOKEN}`, EXPIRED],
  ])('%s is refused in the words of Easemob, without asking it', async (_case, authorization, refusal) => {
    const { ask, emulator } = await start();
    const answer = await ask(authorization);
    expect(answer).toMatchObject(refusal);
    // A browser would ask its user for a password.
    expect(answer.headers.get('www-authenticate')).toBeNull();
    expect(emulator.received()).toEqual([]);
  });

  it.each(['short', 'long'] as const)('and that expired in the %s layout costs no request', async (layout) => {
    const { ask, emulator } = await start();
    const token = emulator.issueToken(ORG, APP, { layout, ttlSeconds: -1 });
    expect(await ask(`Bearer ${token}`)).toMatchObject(EXPIRED);
    expect(emulator.received()).toEqual([]);
  });

  it('is left to Easemob where the operator says so', async () => {
    const { ask, emulator } = await start({ set: ['tokens.checkExpiry=false'] });
    const token = emulator.issueToken(ORG, APP, { ttlSeconds: -1 });
    expect(await ask(`Bearer ${token}`)).toMatchObject({ status: 401 });
    expect(emulator.received()).toHaveLength(1);
  });

  it('is judged before the body of an upload is asked for', async () => {
    const { gateway, emulator } = await start();
    const response = await fetch(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(PAGE_TOKEN, { 'content-type': 'text/plain' }),
      body: 'no form at all',
    });
    expect([response.status, await response.json()]).toMatchObject([401, { error: 'unauthorized' }]);
    expect(emulator.received()).toEqual([]);
  });
});

describe('a token that only Easemob can judge', () => {
  it.each(['short', 'long'] as const)('and takes, in the %s layout, opens the way', async (layout) => {
    const { ask, emulator } = await start();
    // The file does not exist: being told so takes a token that holds.
    expect(await ask(`Bearer ${emulator.issueToken(ORG, APP, { layout })}`)).toMatchObject({ status: 404 });
  });

  it.each([
    ['an Agora token', '007eJxTYBBb+YH/w0A=='],
    ['a dynamic token', `ZHQt${'eyJ'.repeat(40)}`],
    ['a word', 'canary'],
    ['a token of another issuer in the short layout', `YWMt${Buffer.alloc(44, 0x7f).toString('base64url')}`],
  ])('like %s goes there as it is, and the answer comes back as it is', async (_case, token) => {
    const { ask, emulator } = await start();
    const answer = await ask(`bearer ${token}`);
    const direct = await fetch(`${emulator.url}${FILE}`, { headers: bearer(token) });
    const { error, error_description } = (await direct.json()) as Refusal;
    expect(answer).toMatchObject({ status: direct.status, error, error_description });
    expect(answer.status).toBe(401);
    const [received] = emulator.received();
    expect(received?.headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1]).toBe(`Bearer ${token}`);
  });

  it('and has revoked is refused', async () => {
    const { ask, emulator } = await start();
    const token = emulator.issueToken(ORG, APP);
    expect(await ask(`Bearer ${token}`)).toMatchObject({ status: 404 });
    emulator.revokeToken(token);
    expect(await ask(`Bearer ${token}`)).toMatchObject({ status: 401 });
  });

  it('and that is for another app is refused', async () => {
    const { ask, emulator } = await start();
    expect(await ask(`Bearer ${emulator.issueToken(ORG, 'other')}`)).toMatchObject({ status: 401 });
    expect(emulator.received()).toHaveLength(1);
  });
});

describe('the list of destinations', () => {
  const set = ['destinations=o1/a1,o2/*'];

  it.each([
    ['a listed app', `/o1/a1/chatfiles/x`],
    ['any app of a listed org', `/o2/whatever/chatfiles/x`],
  ])('lets %s through', async (_case, path) => {
    const { ask, emulator } = await start({ set });
    await ask('Bearer canary', path);
    expect(emulator.received().map((received) => received.path)).toEqual([path]);
  });

  it.each([
    ['another app of an org', `/o1/other/chatfiles/x`],
    ['another org', `/o3/a1/chatfiles/x`],
    ['another case', `/O1/a1/chatfiles/x`],
  ])('keeps %s away, token or not, without asking', async (_case, path) => {
    const { ask, emulator } = await start({ set });
    const refusal = { status: 404, error: 'organization_application_not_found' };
    expect(await ask('Bearer canary', path)).toMatchObject(refusal);
    expect(await ask(undefined, path)).toMatchObject(refusal);
    expect(emulator.received()).toEqual([]);
  });
});
