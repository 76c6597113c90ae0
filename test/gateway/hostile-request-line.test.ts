import { describe, expect, it } from 'vitest';
import { CHATFILES } from '../kit/easemob.ts';
import {
  chunked,
  CHUNKED,
  DOWNLOADED,
  FILE,
  get,
  HONEST,
  type HostileCase,
  playHostile,
  post,
  UPLOADED,
} from '../kit/hostile.ts';

const uuid = '0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae';

const VERSIONS: HostileCase[] = [
  { name: 'HTTP/1.0, which is closed behind', bytes: get({ version: 'HTTP/1.0' }), status: 200, reaches: [DOWNLOADED] },
  {
    name: 'HTTP/1.0 that wants to keep the connection',
    bytes: get({ version: 'HTTP/1.0' }, 'Connection: keep-alive'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'HTTP/1.0 without Host',
    bytes: get({ version: 'HTTP/1.0', fields: HONEST.slice(1) }),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'HTTP/1.0 with chunks',
    bytes: post({ version: 'HTTP/1.0', framing: CHUNKED, body: chunked(['x']) }),
    status: 400,
  },
  { name: 'HTTP/0.9 as text', bytes: get({ version: 'HTTP/0.9' }), status: 505 },
  { name: 'HTTP/0.9 in earnest', bytes: `GET ${FILE}\r\n`, status: 408 },
  { name: 'HTTP/2.0 as text', bytes: get({ version: 'HTTP/2.0' }), status: 505 },
  { name: 'HTTP/1.2', bytes: get({ version: 'HTTP/1.2' }), status: 505 },
  { name: 'HTTP/9.9', bytes: get({ version: 'HTTP/9.9' }), status: 505 },
  { name: 'HTTP/1.10', bytes: get({ version: 'HTTP/1.10' }), status: 400 },
  { name: 'a version in small letters', bytes: get({ version: 'http/1.1' }), status: 400 },
  // Node's parser takes this protocol for HTTP and does not tell; what goes upstream is HTTP all the same.
  { name: 'another protocol', bytes: get({ version: 'RTSP/1.0' }), status: 200, reaches: [DOWNLOADED] },
  { name: 'a second word behind the version', bytes: get({ version: 'HTTP/1.1 canary' }), status: 400 },
  { name: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 400 },
  { name: 'a TLS greeting', bytes: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary', status: 400 },
  { name: 'a line of junk', bytes: 'canary canary canary\r\n\r\n', status: 400 },
  { name: 'zeros', bytes: '\0'.repeat(100), status: 400 },
  { name: 'empty lines before an honest request', bytes: `\r\n\r\n${get()}`, status: 200, reaches: [DOWNLOADED] },
  { name: 'a request that comes byte by byte', bytes: get(), inBytes: true, status: 200, reaches: [DOWNLOADED] },
];

const METHODS: HostileCase[] = [
  ...['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'PURGE', 'POST'].map((method) => ({
    name: `${method} of a file`,
    bytes: get({ method }),
    status: 405,
  })),
  ...['GET', 'PUT', 'DELETE'].map((method) => ({
    name: `${method} of the upload address`,
    bytes: get({ method, target: CHATFILES }),
    status: 405,
  })),
  { name: 'HEAD of the upload address', bytes: get({ method: 'HEAD', target: CHATFILES }), status: 405, isHead: true },
  {
    name: 'HEAD of a path that is not served',
    bytes: get({ method: 'HEAD', target: '/canary' }),
    status: 404,
    isHead: true,
  },
  { name: 'HEAD without a token', bytes: get({ method: 'HEAD', fields: ['Host: h'] }), status: 401, isHead: true },
  { name: 'HEAD of a file', bytes: get({ method: 'HEAD' }), status: 200, isHead: true, reaches: [DOWNLOADED] },
  {
    name: 'CONNECT to another host',
    bytes: 'CONNECT canary.example:443 HTTP/1.1\r\nHost: canary.example:443\r\n\r\n',
    status: 405,
  },
  { name: 'CONNECT with a path', bytes: `CONNECT ${FILE} HTTP/1.1\r\nHost: h\r\n\r\n`, status: 405 },
  {
    name: 'CONNECT with more behind it',
    bytes: `CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n${get()}`,
    status: 405,
  },
  { name: 'TRACE that wants its token back', bytes: get({ method: 'TRACE' }, 'Max-Forwards: 0'), status: 405 },
  { name: 'a method of its own', bytes: get({ method: 'CANARY' }), status: 405 },
  { name: 'a method in small letters', bytes: get({ method: 'get' }), status: 400 },
  { name: 'a space before the method', bytes: ` ${get()}`, status: 400 },
  { name: 'two spaces behind the method', bytes: get({ method: 'GET ' }), status: 200, reaches: [DOWNLOADED] },
  { name: 'a tab behind the method', bytes: get().replace('GET ', 'GET\t'), status: 400 },
];

const TARGETS: HostileCase[] = [
  {
    name: 'the absolute form of http',
    bytes: get({ target: `http://canary.example${FILE}` }),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'the absolute form of https with a port',
    bytes: get({ target: `HTTPS://canary.example:8443${FILE}` }),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'the absolute form of an IPv6 address',
    bytes: get({ target: `http://[::1]:80${FILE}` }),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'the absolute form of a broken IPv6 address',
    bytes: get({ target: `http://[::canary${FILE}` }),
    status: 404,
  },
  { name: 'the absolute form with a user', bytes: get({ target: `http://canary@h${FILE}` }), status: 404 },
  { name: 'the absolute form of another scheme', bytes: get({ target: `ftp://h${FILE}` }), status: 404 },
  { name: 'the absolute form without a host', bytes: get({ target: `http://${FILE}` }), status: 404 },
  { name: 'a file on this machine', bytes: get({ target: 'file:///etc/passwd' }), status: 404 },
  { name: 'an asterisk', bytes: get({ target: '*' }), status: 404 },
  { name: 'an asterisk with OPTIONS', bytes: get({ method: 'OPTIONS', target: '*' }), status: 404 },
  { name: 'an authority', bytes: get({ target: 'canary.example:80' }), status: 400 },
  { name: 'a path that begins with nothing', bytes: get({ target: FILE.slice(1) }), status: 400 },
  { name: 'no target', bytes: get({ target: '' }), status: 400 },
  { name: 'a space in the target', bytes: get({ target: `${CHATFILES}/ canary` }), status: 400 },
  { name: 'a tab in the target', bytes: get({ target: `${FILE}\tcanary` }), status: 400 },
  { name: 'a NUL in the target', bytes: get({ target: `${FILE}\0` }), status: 400 },
  { name: 'a bell in the target', bytes: get({ target: `${FILE}?\x07` }), status: 400 },
  { name: 'a bare CR in the target', bytes: get({ target: `${FILE}\rX: canary` }), status: 400 },
  { name: 'a bare LF in the target', bytes: get({ target: `${FILE}\nX: canary` }), status: 505 },
  { name: 'a delete character in the target', bytes: get({ target: `${FILE}?\x7f` }), status: 400 },
  { name: 'a fragment', bytes: get({ target: `${FILE}#canary` }), status: 404 },
  { name: 'a target of 17 KB', bytes: get({ target: `/${'canary'.repeat(2900)}` }), status: 431 },
];

const PATHS: HostileCase[] = [
  ...[
    ['an encoded slash', `${CHATFILES}%2f<file>`],
    ['dots and encoded slashes', `${CHATFILES}/..%2f..%2fcanary`],
    ['encoded dots', `/o1/%2e%2e/chatfiles/<file>`],
    ['encoded dots as a file', `${CHATFILES}/%2e%2e`],
    ['an encoded letter', `/o1/a1/chat%66iles/<file>`],
    ['a letter encoded twice', `/o1/a1/chat%2566iles/<file>`],
    ['an encoded NUL', `${FILE}%00`],
    ['an encoded line break', `${FILE}%0d%0aX:canary`],
    ['an encoded question mark', `${FILE}%3fthumbnail=true`],
    ['a broken encoding', `${CHATFILES}/%zz`],
    ['half an encoding', `${CHATFILES}/%`],
    ['an overlong encoding of a dot', `${CHATFILES}/%c0%ae%c0%ae`],
    ['dot segments within', `/o1/a1/../a1/chatfiles/<file>`],
    ['dot segments at the end', `${CHATFILES}/x/../<file>`],
    ['dot segments that climb out', `/../../etc/passwd`],
    ['a single dot', `/o1/a1/./chatfiles/<file>`],
    ['dots as an org', `/../a1/chatfiles/<file>`],
    ['two slashes in front', `/${FILE}`],
    ['two slashes within', `/o1//a1/chatfiles/<file>`],
    ['two slashes before the file', `${CHATFILES}//<file>`],
    ['a slash at the end', `${FILE}/`],
    ['a slash behind the upload address', `${CHATFILES}/`],
    ['a path parameter', `${FILE};canary=1`],
    ['a path parameter inside', `/o1/a1/chatfiles;x/<file>`],
    ['a path parameter with dots', `/o1/..;/a1/chatfiles/<file>`],
    ['a backslash', `/o1/a1\\chatfiles/<file>`],
    ['another case', `/o1/a1/CHATFILES/<file>`],
    ['a level too many', `${FILE}/canary`],
    ['a level too few', `/a1/chatfiles/<file>`],
    ['an extension', `${FILE}.json`],
    ['a file id of 65 characters', `${CHATFILES}/${'c'.repeat(65)}`],
    ['an org of 129 characters', `/${'o'.repeat(129)}/a1/chatfiles/<file>`],
    ['a path of 8 KB', `/${'canary/'.repeat(1100)}`],
    ['the probe for known content', `${CHATFILES}/exists?md5=canary`],
    ['uploads in parts', `/o1/a1/sdk/chatfiles/part-upload`],
    ['another collection', `/o1/a1/users`],
    ['the dashboard', `/metrics`],
    ['the root', `/`],
    ['a word of JavaScript', `/__proto__/constructor/prototype`],
  ].map(([name = '', target = '']) => ({ name, bytes: get({ target }), status: 404 })),
  { name: 'unicode', bytes: get({ target: `${CHATFILES}/\xc3\xa9` }), status: 400 },
  {
    name: 'a name that is a word of JavaScript',
    bytes: get({ target: `/__proto__/a1/chatfiles/${uuid}` }),
    status: 401,
    reaches: [{ method: 'GET', path: `/__proto__/a1/chatfiles/${uuid}` }],
  },
  { name: 'an upload to a file', bytes: post({ target: FILE }), status: 405 },
  { name: 'an upload to a path with a slash at its end', bytes: post({ target: `${CHATFILES}/` }), status: 404 },
  {
    name: 'an upload by absolute form',
    bytes: post({ target: `http://canary.example${CHATFILES}` }),
    status: 200,
    reaches: [UPLOADED],
  },
];

describe('a request line with', () => {
  it.each([...VERSIONS, ...METHODS, ...TARGETS])('$name', (hostile) =>
    expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()),
  );
});

describe('a path with', () => {
  it.each(PATHS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});
