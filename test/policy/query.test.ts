import { describe, expect, it } from 'vitest';
import { checkQuery, readQuery } from '../../src/policy/query.ts';

const check = (query: string) => checkQuery(readQuery(query));

describe('a query', () => {
  it.each([
    ['nothing', ''],
    ['the secret', 'share-secret=DRGM8OZrEeO1vafu'],
    ["a web SDK's tag address", 'em-redirect=true&share-secret=x&thumbnail=true'],
    ["an upload's target", 'chat-type=GROUP&chat-target=7&md5=a&imageType=1&width=2&height=3'],
    ['what nobody knows, twice', 'x=1&x=2'],
    ['empty pairs', '&&a=1&'],
    ['a plus sign', 'share-secret=a+b'],
  ])('may say %s', (_case, query) => {
    expect(check(query)).toEqual({ allowed: true });
  });

  it.each([
    ['a token', 'access_token=x', 'QUERY_REFUSED'],
    ['a token behind others', 'a=1&access_token=', 'QUERY_REFUSED'],
    ['a token without a value', 'access_token', 'QUERY_REFUSED'],
    ['a token in another case', 'Access_Token=x', 'QUERY_REFUSED'],
    ['a token whose name is encoded', '%61ccess%5Ftoken=x', 'QUERY_REFUSED'],
    ['a token behind a semicolon', 'a=1;access_token=x', 'QUERY_REFUSED'],
    ['a JSONP callback', 'callback=f', 'QUERY_REFUSED'],
    ['two secrets', 'share-secret=a&share-secret=b', 'QUERY_REPEATED'],
    ['the same secret twice', 'share-secret=a&share-secret=a', 'QUERY_REPEATED'],
    ['two secrets, one encoded', 'share-secret=a&share%2Dsecret=b', 'QUERY_REPEATED'],
    ['two thumbnails', 'thumbnail=true&THUMBNAIL=false', 'QUERY_REPEATED'],
    ['a broken encoding', 'a=%zz', 'REQUEST_MALFORMED'],
    ['a broken encoding in a name', '%e0%a4=1', 'REQUEST_MALFORMED'],
    ['half an encoding at the end', 'share-secret=%2', 'REQUEST_MALFORMED'],
  ])('may not say %s', (_case, query, code) => {
    expect(check(query)).toMatchObject({ allowed: false, code });
  });
});
