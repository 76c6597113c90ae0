import { describe, expect, it } from 'vitest';
import { CHATFILES } from '../kit/easemob.ts';
import { DOWNLOADED, FILE, get, type HostileCase, playHostile, post } from '../kit/hostile.ts';

const credentials = (...fields: string[]) => get({ fields: ['Host: h', 'share-secret: <secret>', ...fields] });
const query = (text: string, fields = ['Host: h', 'Authorization: Bearer <token>']) =>
  get({ target: `${FILE}?${text}`, fields });
/** The secret that stood in the query goes up in its header. */
const reached = (text: string) => [{ ...DOWNLOADED, path: `${FILE}?${text}` }];

const CREDENTIALS: HostileCase[] = [
  { name: 'none', bytes: credentials(), status: 401 },
  { name: 'an empty field', bytes: credentials('Authorization:'), status: 401 },
  { name: 'a bare token', bytes: credentials('Authorization: <token>'), status: 401 },
  { name: 'the scheme alone', bytes: credentials('Authorization: Bearer'), status: 401 },
  { name: 'the scheme and spaces', bytes: credentials('Authorization: Bearer    '), status: 401 },
  { name: 'Basic', bytes: credentials('Authorization: Basic Y2FuYXJ5OmNhbmFyeQ=='), status: 401 },
  { name: 'Basic in front', bytes: credentials('Authorization: Basic x, Bearer <token>'), status: 401 },
  { name: 'Digest', bytes: credentials('Authorization: Digest username="canary"'), status: 401 },
  { name: 'a scheme glued to its token', bytes: credentials('Authorization: Bearer<token>'), status: 401 },
  { name: 'a colon behind the scheme', bytes: credentials('Authorization: Bearer: <token>'), status: 401 },
  { name: 'a tab behind the scheme', bytes: credentials('Authorization: Bearer\t<token>'), status: 401 },
  { name: 'two tokens', bytes: credentials('Authorization: Bearer <token> canary'), status: 401 },
  { name: 'two tokens with a comma', bytes: credentials('Authorization: Bearer <token>,canary'), status: 401 },
  { name: 'a quoted token', bytes: credentials('Authorization: Bearer "<token>"'), status: 401 },
  { name: 'a token beyond ASCII', bytes: credentials('Authorization: Bearer \xe9canary'), status: 401 },
  {
    name: 'a token with an encoded line break',
    bytes: credentials('Authorization: Bearer <token>%0d%0aX:canary'),
    status: 401,
  },
  {
    name: 'a scheme in small letters',
    bytes: credentials('authorization: bearer <token>'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'many spaces',
    bytes: credentials('Authorization:     BEARER     <token>   '),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'another field',
    bytes: credentials('X-Authorization: Bearer <token>', 'Token: <token>', 'Access-Token: <token>'),
    status: 401,
  },
  { name: 'a cookie', bytes: credentials('Cookie: access_token=<token>; Authorization=Bearer <token>'), status: 401 },
  { name: 'Proxy-Authorization', bytes: credentials('Proxy-Authorization: Bearer <token>'), status: 401 },
  { name: 'an underscore in place of nothing', bytes: credentials('_Authorization: Bearer <token>'), status: 401 },
  {
    name: 'a form field',
    bytes: post({ fields: ['Host: h', 'Content-Type: multipart/form-data; boundary=b'] }),
    status: 401,
  },
  {
    name: 'a user in the absolute form',
    bytes: get({ target: `http://user:<token>@h${FILE}`, fields: ['Host: h'] }),
    status: 404,
  },
];

const QUERIES: HostileCase[] = [
  { name: 'a token', bytes: query('access_token=<token>', ['Host: h']), status: 400 },
  { name: "another's token beside the good one", bytes: query('access_token=canary'), status: 400 },
  { name: 'a token in another case', bytes: query('ACCESS_TOKEN=canary'), status: 400 },
  { name: 'a token whose name is encoded', bytes: query('%61ccess%5ftoken=canary'), status: 400 },
  {
    name: 'a token whose name is encoded twice, which is another name',
    bytes: query('share-secret=<secret>&%2561ccess_token=c'),
    status: 200,
    reaches: reached('%2561ccess_token=c'),
  },
  { name: 'a token behind a semicolon', bytes: query('a=1;access_token=canary'), status: 400 },
  { name: 'an empty token', bytes: query('access_token='), status: 400 },
  { name: 'the name of a token alone', bytes: query('access_token'), status: 400 },
  { name: 'a callback', bytes: query('callback=alert'), status: 400 },
  { name: 'a callback in another case', bytes: query('a&Callback=alert'), status: 400 },
  { name: 'two secrets', bytes: query('share-secret=<secret>&share-secret=canary'), status: 400 },
  {
    name: 'two secrets, one of them encoded',
    bytes: query('share-secret=<secret>&share%2dsecret=canary'),
    status: 400,
  },
  {
    name: 'a secret that differs from the one in the header',
    bytes: query('share-secret=canary', ['Host: h', 'Authorization: Bearer <token>', 'share-secret: <secret>']),
    status: 400,
  },
  { name: 'a secret with an encoded NUL', bytes: query('share-secret=<secret>%00'), status: 400 },
  { name: 'a secret with an encoded line break', bytes: query('share-secret=<secret>%0d%0aX-Canary:1'), status: 400 },
  {
    name: 'a secret encoded letter by letter',
    bytes: query('share%2Dsecret=<secret>'),
    status: 200,
    reaches: [{ method: 'GET', path: `${FILE}?share%2Dsecret=<secret>`, without: ['share-secret'] }],
  },
  { name: 'thumbnail twice', bytes: query('share-secret=<secret>&thumbnail=true&thumbnail=false'), status: 400 },
  { name: 'a broken encoding', bytes: query('share-secret=%zz'), status: 400 },
  { name: 'an overlong encoding', bytes: query('share-secret=%c0%af'), status: 400 },
  { name: 'a fragment', bytes: query('share-secret=<secret>#canary'), status: 400 },
  { name: 'bytes beyond ASCII', bytes: query('share-secret=<secret>&x=\xc3\xa9'), status: 400 },
  {
    name: 'a second question mark',
    bytes: query('share-secret=<secret>&x=?y'),
    status: 200,
    reaches: reached('x=?y'),
  },
  {
    name: 'what nobody knows, byte for byte',
    bytes: query('share-secret=<secret>&x=%2F..%2f+\'"<>|'),
    status: 200,
    reaches: reached('x=%2F..%2f+\'"<>|'),
  },
  {
    name: 'words of JavaScript',
    bytes: query('share-secret=<secret>&__proto__=1&constructor=2'),
    status: 200,
    reaches: reached('__proto__=1&constructor=2'),
  },
  { name: 'nothing', bytes: get({ target: `${FILE}?` }), status: 200, reaches: [DOWNLOADED] },
  { name: 'a token for an upload', bytes: post({ target: `${CHATFILES}?access_token=canary` }), status: 400 },
];

describe('credentials by', () => {
  it.each(CREDENTIALS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('a query with', () => {
  it.each(QUERIES)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});
