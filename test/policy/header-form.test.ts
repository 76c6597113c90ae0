import { describe, expect, it } from 'vitest';
import { inHeaders } from '../../src/policy/header-form.ts';

const bearer = { authorization: 'Bearer t' };

describe('what a query says that a header says too', () => {
  it.each([
    ['nothing', {}, '', {}, ''],
    ['the secret', {}, 'share-secret=abc', { 'share-secret': 'abc' }, ''],
    ['the secret, decoded as it was encoded', {}, 'share-secret=a%2Bb', { 'share-secret': 'a+b' }, ''],
    ['the secret that the header has too', { 'share-secret': 's' }, 'share-secret=s', { 'share-secret': 's' }, ''],
    ['the wish for a thumbnail', {}, 'thumbnail=true', { thumbnail: 'true' }, ''],
    ['a wish that the header has too', { thumbnail: 'true' }, 'thumbnail=true', { thumbnail: 'true' }, ''],
    [
      "a web SDK's whole address",
      {},
      'em-redirect=true&share-secret=s&thumbnail=true',
      { 'share-secret': 's', thumbnail: 'true' },
      '',
    ],
    ['the first picture of a video', {}, 'share-secret=s&vframe=true', { 'share-secret': 's' }, 'vframe=true'],
    ['things between what nobody knows', {}, 'b=%2B+&share-secret=s&&a', { 'share-secret': 's' }, 'b=%2B+&&a'],
    ['a redirect in another spelling', {}, 'EM%2Dredirect=1&x', {}, 'x'],
  ])('is moved there: %s', (_case, fields, query, moved, left) => {
    const form = inHeaders({ ...bearer, ...fields }, query, false);
    expect(form).toMatchObject({ fields: { ...bearer, ...moved }, query: left, isClear: true });
    expect(form.secret).toBe('share-secret' in moved ? moved['share-secret'] : undefined);
  });

  it.each([
    ['another value', {}, 'thumbnail=false'],
    ['another case', {}, 'Thumbnail=true'],
    ['an encoding', {}, 'thumbnail=tru%65'],
    ['a header that says otherwise', { thumbnail: 'false' }, 'thumbnail=true'],
    ['a size', {}, 'size=small'],
    ['a semicolon', {}, 'thumbnail=true;x'],
    ['a redirect behind a semicolon', {}, 'x;em-redirect=true'],
  ])('stays in the query, byte for byte, with %s', (_case, fields, query) => {
    const all = { ...bearer, ...fields };
    expect(inHeaders(all, query, false)).toEqual({ fields: all, query, secret: undefined, isClear: true });
  });

  it.each([
    ['another case', 'SHARE-SECRET=s', 's'],
    ['an encoded name', 'share%2Dsecret=s', 's'],
    ['a semicolon in it', 'share-secret=s;x', 's'],
    ['a semicolon before it', 'x=1;share-secret=s', 's'],
    ['no value', 'share-secret', ''],
  ])('stays, and teaches nothing, where a secret has %s', (_case, query, secret) => {
    expect(inHeaders(bearer, query, false)).toEqual({ fields: bearer, query, secret, isClear: false });
  });

  it('stays where there is no token, but for the wish for a thumbnail', () => {
    const query = 'share-secret=a%2Db&em-redirect=true&thumbnail=true';
    expect(inHeaders({}, query, false)).toEqual({
      fields: { thumbnail: 'true' },
      query: 'share-secret=a%2Db',
      secret: 'a-b',
      isClear: true,
    });
    expect(inHeaders({}, 'share-secret=a+b', false)).toMatchObject({ secret: 'a+b', isClear: false });
  });

  it('keeps the wish for a redirect where redirects are handed on', () => {
    const query = 'em-redirect=true&share-secret=s';
    expect(inHeaders(bearer, query, true)).toMatchObject({ query: 'em-redirect=true', secret: 's' });
  });
});
