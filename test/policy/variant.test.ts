import { describe, expect, it } from 'vitest';
import { readWish } from '../../src/policy/variant.ts';

const thumbnail = { thumbnail: 'true' };

describe('what a download asks for', () => {
  it.each([
    ['nothing in particular', {}, '', { isSmall: false, variant: 'original' }],
    ['the header', thumbnail, '', { isSmall: true, variant: 'thumbnail' }],
    ['the query', {}, 'thumbnail=true', { isSmall: true, variant: 'thumbnail-query' }],
    ['both', thumbnail, 'thumbnail=true', { isSmall: true, variant: 'thumbnail-both' }],
    ['the first picture of a video', {}, 'vframe=true', { isSmall: true, variant: 'vframe' }],
    ['the same, and the header', thumbnail, 'vframe=true', { isSmall: true, variant: 'vframe-both' }],
    ['a small picture', {}, 'size=small', { isSmall: true, variant: 'small' }],
    ['a large one', {}, 'size=large', { isSmall: false, variant: 'large' }],
    ['a secret beside', thumbnail, 'share-secret=abc', { isSmall: true, variant: 'thumbnail' }],
    ['a secret before', {}, 'share-secret=a%2Bb&thumbnail=true', { isSmall: true, variant: 'thumbnail-query' }],
  ])('knows the form by %s', (_case, fields, query, wish) => {
    expect(readWish(fields, query)).toEqual(wish);
  });

  it.each([
    ['a header that says no, or yes in another way', { thumbnail: 'false' }, ''],
    ['an empty header', { thumbnail: '' }, ''],
    ['another case in the query', {}, 'Thumbnail=true'],
    ['another case of a value', {}, 'thumbnail=True'],
    ['a percent-encoding', {}, 'thumbnail=tru%65'],
    ['a parameter nobody knows', thumbnail, 'x=1'],
    ['a redirect that is asked for', thumbnail, 'em-redirect=true'],
    ['a semicolon', {}, 'thumbnail=true;share-secret=a'],
    ['a semicolon behind the secret', thumbnail, 'share-secret=a;thumbnail=true'],
    ['a plus sign in the secret, which some read as a space', thumbnail, 'share-secret=a+b'],
    ['two forms at once', {}, 'thumbnail=true&size=small'],
    ['an empty pair', {}, 'thumbnail=true&'],
    ['a name of every object', {}, 'constructor'],
    ['a size of its own', { ...thumbnail, 'thumbnail-width': '20' }, ''],
    ['a condition that only the upstream can judge', { ...thumbnail, 'if-match': '"x"' }, ''],
  ])('keeps nothing for a request with %s', (_case, fields, query) => {
    expect(readWish(fields, query).variant).toBeUndefined();
  });

  it('counts as small whatever the upstream may answer with a small picture', () => {
    for (const query of ['THUMBNAIL=true', 'x=1&vframe=true', 'Size=SMALL'])
      expect(readWish({}, query).isSmall).toBe(true);
    expect(readWish({ thumbnail: 'false' }, '').isSmall).toBe(true);
  });
});
