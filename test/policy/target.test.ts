import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readTarget, type Target, upstreamPath } from '../../src/policy/target.ts';

const UUID = '0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae';

describe('reading a request target', () => {
  it.each([
    ['the upload address', '/easemob-demo/chatdemoui/chatfiles', { org: 'easemob-demo', app: 'chatdemoui' }],
    ['a file', `/o/a/chatfiles/${UUID}`, { org: 'o', app: 'a', file: UUID }],
    ['a query as it came', '/o/a/chatfiles/x?share-secret=a%2Bb&z=%00', { query: 'share-secret=a%2Bb&z=%00' }],
    ['names with dots, dashes and case', '/Or.g_1/A-p~p/chatfiles', { org: 'Or.g_1', app: 'A-p~p' }],
    ['a name that begins with dots', '/..o/...a/chatfiles', { org: '..o', app: '...a' }],
    ['the absolute form', `http://anything:80/o/a/chatfiles/${UUID}`, { org: 'o', app: 'a', file: UUID }],
  ])('takes %s', (_case, raw, expected) => {
    expect(readTarget(raw)).toMatchObject(expected);
  });

  it.each([
    ['the root', '/'],
    ['nothing', ''],
    ['an asterisk', '*'],
    ['a relative path', 'o/a/chatfiles'],
    ['another resource', '/o/a/users'],
    ['another case', '/o/a/ChatFiles'],
    ['a slash at the end', '/o/a/chatfiles/'],
    ['a slash behind a file', `/o/a/chatfiles/${UUID}/`],
    ['two slashes', '//o/a/chatfiles'],
    ['two slashes inside', `/o//a/chatfiles/${UUID}`],
    ['a level too many', `/o/a/chatfiles/${UUID}/x`],
    ['a level too few', '/o/chatfiles'],
    ['dot segments', '/o/a/../a/chatfiles'],
    ['a dot as org', '/./a/chatfiles'],
    ['two dots as app', '/o/../chatfiles'],
    ['dots as a file', '/o/a/chatfiles/..'],
    ['an encoded slash', '/o/a/chatfiles/..%2f..%2fx'],
    ['an encoded letter', '/o/a/chat%66iles'],
    ['an encoded NUL', '/o/a/chatfiles/x%00'],
    ['a broken encoding', '/o/a/chatfiles/%zz'],
    ['a path parameter', '/o/a/chatfiles;v=1'],
    ['a backslash', '/o/a\\chatfiles'],
    ['bytes above ASCII', '/ö/a/chatfiles'],
    ['a name of 129 characters', `/${'o'.repeat(129)}/a/chatfiles`],
    ['a file id of 65 characters', `/o/a/chatfiles/${'x'.repeat(65)}`],
    ['the probe for known content', '/o/a/chatfiles/exists?md5=1'],
    ['another scheme', 'ftp://h/o/a/chatfiles'],
    ['user info in the absolute form', 'http://me@h/o/a/chatfiles'],
    ['a fragment', '/o/a/chatfiles#x'],
  ])('does not serve %s', (_case, raw) => {
    expect(readTarget(raw)).toMatchObject({ allowed: false, code: 'RESOURCE_UNKNOWN' });
  });

  it.each([
    ['a fragment in the query', '/o/a/chatfiles?x#y'],
    ['bytes above ASCII in the query', '/o/a/chatfiles?x=ö'],
    ['a space in the query', '/o/a/chatfiles?x= y'],
    ['a control character in the query', '/o/a/chatfiles?x=\u0007'],
  ])('refuses %s', (_case, raw) => {
    expect(readTarget(raw)).toMatchObject({ allowed: false, code: 'REQUEST_MALFORMED' });
  });

  it('rebuilds exactly the path it was given, whatever it accepts', () => {
    const piece = fc.string({
      unit: fc.constantFrom('a', 'Z', '9', '.', '-', '_', '~', '%', '/', '?', '=', '&'),
      maxLength: 12,
    });
    fc.assert(
      fc.property(piece, piece, piece, (org, app, rest) => {
        const raw = `/${org}/${app}/chatfiles${rest}`;
        const target = readTarget(raw);
        // A lone question mark is an empty query, which is none.
        if (!('allowed' in target)) expect(upstreamPath(target)).toBe(raw.replace(/\?$/, ''));
      }),
    );
  });

  it('leaves an empty query away', () => {
    expect(upstreamPath(readTarget('/o/a/chatfiles?') as Target)).toBe('/o/a/chatfiles');
  });
});
