import { describe, expect, it } from 'vitest';
import { deny, enforce } from '../../src/policy/decision.ts';
import { createDestinationPolicy } from '../../src/policy/destination.ts';
import { checkSecret } from '../../src/policy/secret.ts';
import { checkAnnounced, checkForm, maxBodyBytes } from '../../src/policy/size.ts';

describe('destinations', () => {
  it.each([
    ['everything by default', ['*/*'], 'o', 'a', true],
    ['a listed app', ['o/a'], 'o', 'a', true],
    ['every app of a listed org', ['o/*'], 'o', 'other', true],
    ['no other app', ['o/a'], 'o', 'b', false],
    ['no other org', ['o/*'], 'p', 'a', false],
    ['no other case', ['o/a'], 'O', 'a', false],
    ['no app by being called like the star', ['o/a'], '*', '*', false],
  ])('allow %s', (_case, patterns, org, app, allowed) => {
    expect(createDestinationPolicy(patterns)(org, app).allowed).toBe(allowed);
  });
});

describe('share-secrets', () => {
  it.each([
    ['none', undefined, undefined],
    ['one in the header', 'DRGM8', undefined],
    ['one in the query', undefined, 'DRGM8'],
    ['the same in both places', 'DRGM8', 'DRGM8'],
    ['an empty one, which the upstream may judge', '', undefined],
  ])('may be %s', (_case, header, query) => {
    expect(checkSecret(header, query)).toEqual({ allowed: true });
  });

  it.each([
    ['different in both places', 'a', 'b', 'SECRET_AMBIGUOUS'],
    ['empty in one place and not in the other', '', 'b', 'SECRET_AMBIGUOUS'],
    ['a joined list', 'a, b', undefined, 'FIELD_INVALID'],
    ['with a line break', undefined, 'a\r\nb', 'FIELD_INVALID'],
    ['longer than any', 'a'.repeat(513), undefined, 'FIELD_INVALID'],
  ])('may not be %s', (_case, header, query, code) => {
    expect(checkSecret(header, query)).toMatchObject({ allowed: false, code });
  });
});

describe('an announced size', () => {
  const policy = { fileBytes: 100, formBytes: 10 };

  it('may be unknown, or up to file and form together', () => {
    expect(checkAnnounced(maxBodyBytes(policy), undefined)).toEqual({ allowed: true });
    expect(checkAnnounced(maxBodyBytes(policy), 110)).toEqual({ allowed: true });
  });

  it('may not be a byte more', () => {
    expect(checkAnnounced(maxBodyBytes(policy), 111)).toMatchObject({ code: 'BODY_TOO_LARGE' });
  });
});

describe('what a form has beside its file', () => {
  it('is bounded by itself, however small the file is', () => {
    const policy = { fileBytes: 100, formBytes: 10 };
    expect(checkForm(15, 5, policy)).toEqual({ allowed: true });
    expect(checkForm(16, 5, policy)).toMatchObject({ code: 'BODY_TOO_LARGE' });
  });
});

describe('enforcing a decision', () => {
  it('throws the failure that a denial stands for, with its reason for the log', () => {
    const failure = { name: 'GatewayError', code: 'TOKEN_EXPIRED', status: 401, reason: 'last week' };
    expect(() => enforce(deny('TOKEN_EXPIRED', 'last week'))).toThrow(expect.objectContaining(failure));
  });
});
