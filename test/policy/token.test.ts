import { describe, expect, it } from 'vitest';
import { checkToken, readToken, type Token } from '../../src/policy/token.ts';

/** The token of Easemob's own page: issued on 2014-05-28 for exactly seven days. */
const PAGE_TOKEN = 'YWMtz1hFWOZpEeOPpcmw1FB0RwAAAUZnAv0D7y9-i4c9_c4rcx1qJDduwylRe7Y';

const short = (expiresAt: number) => {
  const bytes = Buffer.alloc(44, 7);
  bytes.writeBigInt64BE(BigInt(expiresAt), 16);
  return `YWMt${bytes.toString('base64url')}`;
};

type Long = { issuedAt: number; ttlSeconds: number; version?: number; type?: number };

const long = ({ issuedAt, ttlSeconds, version = 3, type = 3 }: Long) => {
  const bytes = Buffer.alloc(94, 7);
  bytes[48] = type;
  bytes[49] = version;
  bytes.writeBigInt64BE(BigInt(issuedAt), 50);
  bytes.writeUInt32BE(ttlSeconds, 58);
  return `YWMt${bytes.toString('base64url')}`;
};

const read = (authorization: string | undefined) => readToken(authorization) as Token;

describe('reading a token', () => {
  it.each([
    ['no header', undefined, 'TOKEN_MISSING'],
    ['an empty header', '', 'TOKEN_MISSING'],
    ['another scheme', 'Basic YWxpY2U6d29uZGVybGFuZA==', 'TOKEN_MISSING'],
    ['a bare token', PAGE_TOKEN, 'TOKEN_MISSING'],
    ['a scheme that only begins like Bearer', `Bearers ${PAGE_TOKEN}`, 'TOKEN_MISSING'],
    ['Bearer without a token', 'Bearer', 'TOKEN_MALFORMED'],
    ['Bearer and spaces', 'Bearer   ', 'TOKEN_MALFORMED'],
    ['two tokens', `Bearer ${PAGE_TOKEN} ${PAGE_TOKEN}`, 'TOKEN_MALFORMED'],
    ['a joined header', `Bearer ${PAGE_TOKEN}, Bearer ${PAGE_TOKEN}`, 'TOKEN_MALFORMED'],
    ['a shell variable that was not expanded', 'Bearer ${token}', 'TOKEN_MALFORMED'],
    ['a quoted token', `Bearer "${PAGE_TOKEN}"`, 'TOKEN_MALFORMED'],
    ['a token of five thousand characters', `Bearer ${'a'.repeat(5000)}`, 'TOKEN_MALFORMED'],
  ])('refuses %s', (_case, authorization, code) => {
    expect(readToken(authorization)).toMatchObject({ allowed: false, code });
  });

  it.each(['Bearer', 'bearer', 'BEARER'])('takes the scheme %s in any case', (scheme) => {
    expect(read(`${scheme} ${PAGE_TOKEN}`).value).toBe(PAGE_TOKEN);
  });

  it('keeps the standard base64 of an Agora token whole', () => {
    expect(read('Bearer 007eJxT+YH/w==').value).toBe('007eJxT+YH/w==');
  });
});

describe('the expiry of a token', () => {
  it("of the page's own sample is 2014-06-04T13:13:07.587Z", () => {
    expect(read(`Bearer ${PAGE_TOKEN}`)).toMatchObject({
      layout: 'short',
      expiresAt: Date.UTC(2014, 5, 4, 13, 13, 7, 587),
    });
  });

  it('of the long layout is its issue plus its seconds to live', () => {
    const token = long({ issuedAt: 1_000_000, ttlSeconds: 60 });
    expect(token).toHaveLength(130);
    expect(read(`Bearer ${token}`)).toMatchObject({ layout: 'long', expiresAt: 1_060_000 });
  });

  it.each([
    ['a long token that never ends', long({ issuedAt: 5, ttlSeconds: 0 })],
    ['a long token of another version', long({ issuedAt: 5, ttlSeconds: 1, version: 4 })],
    ['a token one character too short', PAGE_TOKEN.slice(0, -1)],
    ['a token one character too long', `${PAGE_TOKEN}x`],
    ['a token of another prefix', `XWMt${PAGE_TOKEN.slice(4)}`],
    ['an Easemob dynamic token', `ZHQt${'x'.repeat(59)}`],
    ['an Agora token', '007eJxTYBBb'],
  ])('of %s is not known, so the upstream decides', (_case, token) => {
    const known = read(`Bearer ${token}`);
    expect(known.expiresAt).toBeUndefined();
    expect(checkToken(known, Number.MAX_SAFE_INTEGER)).toEqual({ allowed: true });
  });

  it('lets a token live up to its last millisecond and no longer', () => {
    const token = read(`Bearer ${short(5000)}`);
    expect(checkToken(token, 4999)).toEqual({ allowed: true });
    expect(checkToken(token, 5000)).toMatchObject({ code: 'TOKEN_EXPIRED' });
  });
});

describe('whom a token speaks for', () => {
  it.each([
    ['an admin', 1, 'admin'],
    ['an app', 2, 'app'],
    ['a user', 3, 'user'],
    ['nobody known', 0, 'unknown'],
    ['nobody known', 4, 'unknown'],
    ['nobody known', 255, 'unknown'],
  ])('is %s by type %d of the long layout', (_case, type, kind) => {
    expect(read(`Bearer ${long({ issuedAt: 5, ttlSeconds: 0, type })}`).kind).toBe(kind);
  });

  it.each([PAGE_TOKEN, '007eJxTYBBb', `ZHQt${'x'.repeat(59)}`, long({ issuedAt: 5, ttlSeconds: 1, version: 4 })])(
    'is not told by %s',
    (token) => {
      expect(read(`Bearer ${token}`).kind).toBe('unknown');
    },
  );
});
