import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPassthrough, isPassthroughPattern } from '../../src/policy/passthrough.ts';

const UUID = '0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae';
const read = (patterns: string[], raw: string) => createPassthrough(patterns)?.(raw);
const app = { org: 'o', app: 'a' };

describe('what the operator names goes through', () => {
  it.each([
    ['one path', ['token'], '/o/a/token', { kind: 'token', app, path: '/o/a/token', query: '' }],
    ['one level of names', ['users/*'], '/o/a/users/ann', { kind: 'other', app, path: '/o/a/users/ann' }],
    ['a name in the middle', ['users/*/status'], '/o/a/users/ann/status', { kind: 'other' }],
    ['a tree', ['users/**'], '/o/a/users/ann/contacts/users/bob', { kind: 'other' }],
    ['the root of a tree', ['users/**'], '/o/a/users', { kind: 'other' }],
    ['everything', ['**'], '/o/a/sdk/user/ann/conversations', { kind: 'other' }],
    ['a query as it came', ['**'], '/o/a/users?limit=2&cursor=a%2Bb', { query: 'limit=2&cursor=a%2Bb' }],
    ['names that SDKs join by commas', ['**'], '/o/a/chatgroups/1/users/ann,bob', { kind: 'other' }],
    ['a name that needs its encoding', ['users/*'], '/o/a/users/%E5%AE%89%40x', { path: '/o/a/users/%E5%AE%89%40x' }],
    ['the absolute form, without its origin', ['users'], 'http://h:80/o/a/users', { path: '/o/a/users' }],
    ['the probe for known content', ['chatfiles/exists'], '/o/a/chatfiles/exists?md5=1', { kind: 'other' }],
    ['the lifetime of files', ['users/**'], '/o/a/users/u/chatfiles/lifetime', { kind: 'other' }],
    ['a group of shared files', ['**'], '/o/a/chatgroups/1/share_files?resource=x', { kind: 'share-files', id: '' }],
    ['a shared file', ['**'], '/o/a/chatrooms/1/share_files/f', { kind: 'share-file', id: 'f' }],
    [
      'another prefix',
      ['/api/sdk/v1/{org}/{app}/speech/*'],
      '/api/sdk/v1/o/a/speech/transcriptions',
      { kind: 'other', app, path: '/api/sdk/v1/o/a/speech/transcriptions' },
    ],
    [
      'a path without an app',
      ['**', '/easemob/logger/devicelogs'],
      '/easemob/logger/devicelogs',
      { kind: 'other', app: undefined },
    ],
    ['a login without an app', ['/management/token'], '/management/token', { kind: 'token', app: undefined }],
    [
      'the start of a file in parts',
      ['sdk/chatfiles/part-upload/**'],
      '/o/a/sdk/chatfiles/part-upload',
      { kind: 'part-uploads' },
    ],
    [
      'a file in parts',
      ['sdk/chatfiles/part-upload/**'],
      `/o/a/sdk/chatfiles/part-upload/${UUID}`,
      { kind: 'part-upload', id: UUID },
    ],
    [
      'its list',
      ['sdk/chatfiles/part-upload/*/parts'],
      `/o/a/sdk/chatfiles/part-upload/${UUID}/parts`,
      { kind: 'parts', id: UUID },
    ],
  ])('%s', (_case, patterns, raw, expected) => {
    expect(read(patterns, raw)).toMatchObject(expected);
  });
});

describe('nothing else does', () => {
  it('and without a pattern there is no reader at all', () => {
    expect(createPassthrough([])).toBeUndefined();
  });

  it.each([
    ['another path', ['token'], '/o/a/users'],
    ['a level too many', ['users/*'], '/o/a/users/ann/status'],
    ['a level too few', ['users/*'], '/o/a/users'],
    ['the app itself', ['**'], '/o/a'],
    ['a slash at the end', ['**'], '/o/a/users/'],
    ['an empty segment', ['**'], '/o/a//users'],
    ['dot segments', ['**'], '/o/a/users/../token'],
    ['a dot', ['**'], '/o/a/./token'],
    ['an encoded slash', ['**'], '/o/a/users%2fann'],
    ['an encoded slash, capital', ['**'], '/o/a/users/x%2Fy'],
    ['an encoded backslash', ['**'], '/o/a/users/x%5cy'],
    ['encoded dots', ['**'], '/o/a/users/%2e%2e/token'],
    ['half encoded dots', ['**'], '/o/a/users/.%2e/token'],
    ['an encoded NUL', ['**'], '/o/a/users/x%00'],
    ['an encoded line break', ['**'], '/o/a/users/x%0d%0ay'],
    ['an encoded C1 control', ['**'], '/o/a/users/x%c2%85'],
    ['an encoded percent sign', ['**'], '/o/a/users/%252e%252e'],
    ['an encoded semicolon', ['**'], '/o/a/users/x%3by'],
    ['an encoded question mark', ['**'], '/o/a/users/x%3Fcallback=y'],
    ['an encoded hash', ['**'], '/o/a/users/x%23'],
    ['a letter that needs no encoding', ['**'], '/o/a/chat%66iles/x/y'],
    ['a digit that needs none', ['**'], '/o/a/users/%31'],
    ['a broken encoding', ['**'], '/o/a/users/%zz'],
    ['half an encoding', ['**'], '/o/a/users/x%2'],
    ['bytes that are no UTF-8', ['**'], '/o/a/users/%ff'],
    ['an overlong slash', ['**'], '/o/a/users/%c0%af'],
    ['a path parameter', ['**'], '/o/a/users;v=1'],
    ['a backslash', ['**'], '/o/a\\users/x'],
    ['bytes above ASCII', ['**'], '/o/a/ü'],
    ['a path of more than a kilobyte', ['**'], `/o/a/${'x'.repeat(500)}/${'x'.repeat(500)}/${'x'.repeat(50)}`],
    ['more than sixteen levels', ['**'], `/o/a${'/x'.repeat(15)}`],
    ['a fragment', ['**'], '/o/a/users#x'],
    ['an encoded org', ['**'], '/%E5%AE%89/a/users'],
    ['a file', ['**'], `/o/a/chatfiles/${UUID}`],
    ['what lies below a file', ['**'], `/o/a/chatfiles/${UUID}/data`],
    ['the upload address in another case', ['**'], '/o/a/ChatFiles'],
    ['the probe in another case', ['**'], '/o/a/chatfiles/Exists'],
    ['a login in another case', ['**'], '/o/a/Token'],
    ['what lies below a login', ['**'], '/o/a/token/x'],
    ['shared files in another case', ['**'], '/o/a/chatgroups/1/Share_Files'],
    ['what lies below a shared file', ['**'], '/o/a/chatgroups/1/share_files/f/x'],
    ['a file in parts, by a wildcard', ['**'], '/o/a/sdk/chatfiles/part-upload'],
    ['a file in parts, by a narrower wildcard', ['sdk/**'], `/o/a/sdk/chatfiles/part-upload/${UUID}`],
    ['a file in parts, by a wildcard that comes close', ['sdk/chatfiles/**'], '/o/a/sdk/chatfiles/part-upload'],
    ['a file in parts, by stars', ['sdk/chatfiles/*'], '/o/a/sdk/chatfiles/part-upload'],
    ['a file in parts in another case', ['sdk/chatfiles/part-upload/**', '**'], '/o/a/sdk/chatfiles/Part-Upload'],
    ['another way to put files together', ['**'], '/o/a/sdk/chatfiles/append'],
    ['another prefix, by the wildcard', ['**'], '/api/sdk/v1/o/a/speech/recognitions'],
    ['native logs, by the wildcard', ['**'], '/easemob/logger/devicelogs'],
    ["the upstream's administration, by the wildcard", ['**'], '/management/organizations/o'],
    ['another way to an app', ['**'], '/orgs/o/a/token'],
    ['yet another', ['**'], '/o/apps/a/token'],
    ['another way to an app behind a prefix', ['/v1/{org}/{app}/**'], '/v1/o/apps/a/token'],
    ['another version of a prefix', ['/api/sdk/v1/{org}/{app}/**'], '/api/sdk/v2/o/a/speech/x'],
    ['more than a path without an app', ['/easemob/logger/devicelogs'], '/easemob/logger/devicelogs/x'],
  ])('%s', (_case, patterns, raw) => {
    expect(read(patterns, raw)).toBeUndefined();
  });

  it('a query with what must be encoded', () => {
    expect(read(['**'], '/o/a/users?x=ö')).toMatchObject({ allowed: false, code: 'REQUEST_MALFORMED' });
  });
});

describe('the path that goes upstream', () => {
  const piece = fc.string({
    unit: fc.constantFrom('a', 'Z', '9', '.', '-', '_', '~', '%', '/', '?', ',', ';', '2', 'f', 'e', '\\', '\u0000'),
    maxLength: 12,
  });

  it('is the one that was judged, whatever is accepted, and stays so when it is decoded', () => {
    fc.assert(
      fc.property(piece, piece, (first, second) => {
        const raw = `/o/a/x${first}/${second}`;
        const sibling = read(['**'], raw);
        if (!sibling || 'allowed' in sibling) return;
        // An empty query goes up as none.
        const whole = raw.indexOf('?') === raw.length - 1 ? raw.slice(0, -1) : raw;
        expect(sibling.path + (sibling.query === '' ? '' : `?${sibling.query}`)).toBe(whole);
        const url = new URL(sibling.path, 'http://h');
        expect(url.pathname).toBe(sibling.path);
        // Decoding makes no other path of it: as many segments, none of dots, none that was not there before.
        const decoded = decodeURIComponent(sibling.path).split('/');
        expect(decoded.length).toBe(sibling.path.split('/').length);
        expect(decoded.filter((segment) => segment === '.' || segment === '..')).toEqual([]);
      }),
    );
  });
});

describe('a pattern', () => {
  it.each([
    'token',
    '**',
    'users/**',
    'users/*',
    'users/*/chatfiles/lifetime',
    '/easemob/logger/devicelogs',
    '/v1/{org}/{app}/**',
    '/v1/{org}/{app}/*',
  ])('%s can be read', (pattern) => expect(isPassthroughPattern(pattern)).toBe(true));

  it.each([
    '',
    '/',
    '/**',
    '/*',
    'users/',
    '//x',
    'a/**/b',
    'a**',
    '../x',
    './x',
    '{org}/x',
    '/{org}/{app}/x',
    '/x/{org}',
    '/x/{org}/y',
    '/x/{app}/{org}/y',
    '/x/*/y',
    '/easemob/**',
    'a b',
    'ü',
    'x?y',
    'a%20b',
  ])('%j cannot', (pattern) => expect(isPassthroughPattern(pattern)).toBe(false));
});
