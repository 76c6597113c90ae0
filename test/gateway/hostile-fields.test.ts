import { describe, expect, it } from 'vitest';
import { DOWNLOADED, get, HONEST, type HostileCase, playHostile, post, UPLOADED } from '../kit/hostile.ts';

const [, ...WITHOUT_HOST] = HONEST;
const hosts = (...fields: string[]) => get({ fields: [...fields, ...WITHOUT_HOST] });

const HOSTS: HostileCase[] = [
  { name: 'no host', bytes: hosts(), status: 400 },
  { name: 'an empty host', bytes: hosts('Host:'), status: 400 },
  { name: 'two hosts', bytes: hosts('Host: h', 'Host: canary'), status: 400 },
  { name: 'the same host twice', bytes: hosts('Host: h', 'Host: h'), status: 400 },
  { name: 'a list of hosts', bytes: hosts('Host: h, canary'), status: 400 },
  { name: 'a host with a space', bytes: hosts('Host: h canary'), status: 400 },
  { name: 'a host with a user', bytes: hosts('Host: canary@h'), status: 400 },
  { name: 'a host with a path', bytes: hosts('Host: h/canary'), status: 400 },
  { name: 'a host with a query', bytes: hosts('Host: h?canary'), status: 400 },
  { name: 'a host with a fragment', bytes: hosts('Host: h#canary'), status: 400 },
  { name: 'a host that is a URL', bytes: hosts('Host: http://canary'), status: 400 },
  { name: 'a host with markup', bytes: hosts('Host: "><script>canary</script>'), status: 400 },
  { name: 'a host beyond ASCII', bytes: hosts('Host: h\xe9'), status: 400 },
  { name: 'a port that is no number', bytes: hosts('Host: h:canary'), status: 400 },
  { name: 'a port too large', bytes: hosts('Host: h:65536'), status: 400 },
  { name: 'an empty port', bytes: hosts('Host: h:'), status: 400 },
  { name: 'two ports', bytes: hosts('Host: h:1:2'), status: 400 },
  { name: 'a half IPv6 address', bytes: hosts('Host: [::1'), status: 400 },
  { name: 'a host of 300 characters', bytes: hosts(`Host: ${'c'.repeat(300)}`), status: 400 },
  { name: "another site's host", bytes: hosts('Host: canary.example:443'), status: 200, reaches: [DOWNLOADED] },
  {
    name: 'another host in fields for proxies',
    bytes: get(
      {},
      'X-Forwarded-Host: canary',
      'X-Host: canary',
      'Forwarded: host=canary',
      'X-Original-URL: /canary',
      'X-Rewrite-URL: /canary',
    ),
    status: 200,
    reaches: [DOWNLOADED],
  },
];

/** What a request names in Connection, and what must reach the upstream all the same. */
const named = (field: string, more: string[], fields: Record<string, string>): HostileCase => ({
  name: `Connection: ${field}`,
  bytes: get({}, `Connection: ${field}`, ...more),
  status: 200,
  reaches: [{ ...DOWNLOADED, fields: { ...DOWNLOADED.fields, ...fields } }],
});

const HOP_BY_HOP: HostileCase[] = [
  {
    // Attack: the next hop drops what Connection names, so the file is stored open while the client believes it restricted.
    name: 'Connection: restrict-access on an upload',
    bytes: post({}, 'Connection: restrict-access', 'restrict-access: true'),
    status: 200,
    reaches: [{ ...UPLOADED, fields: { 'restrict-access': 'true' } }],
  },
  {
    name: 'Connection: content-length, content-type on an upload',
    bytes: post({}, 'Connection: content-length, content-type'),
    status: 200,
    reaches: [{ ...UPLOADED, fields: { 'content-type': 'multipart/form-data; boundary=b' } }],
  },
  // Attack: the whole picture comes back, and a cache takes it for the small one.
  named('thumbnail', ['thumbnail: true'], { thumbnail: 'true' }),
  named('share-secret', [], { 'share-secret': '<secret>' }),
  named('authorization', [], { authorization: 'Bearer <token>' }),
  named('close, Authorization, keep-alive', [], { authorization: 'Bearer <token>' }),
  named('host', [], {}),
  named('X-Canary', ['X-Canary: 1'], {}),
  {
    name: 'Connection twice',
    bytes: get({}, 'Connection: keep-alive', 'Connection: share-secret'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  { name: 'Connection with junk', bytes: get({}, 'Connection: ,,;canary=(1)'), status: 200, reaches: [DOWNLOADED] },
  {
    name: 'an upgrade to a web socket',
    bytes: get(
      {},
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: canary',
    ),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'an upgrade to HTTP/2',
    bytes: get({}, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'an upgrade of an upload',
    bytes: post({}, 'Connection: Upgrade', 'Upgrade: canary'),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'TE and Trailer',
    bytes: get({}, 'TE: trailers, gzip', 'Trailer: Authorization'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'Keep-Alive and Proxy-Connection',
    bytes: get({}, 'Keep-Alive: timeout=999', 'Proxy-Connection: keep-alive'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'Proxy-Authorization',
    bytes: get({}, 'Proxy-Authorization: Basic canary'),
    status: 200,
    reaches: [DOWNLOADED],
  },
];

const FORWARDED: HostileCase[] = [
  {
    name: 'addresses of others',
    bytes: get(
      {},
      'X-Forwarded-For: 127.0.0.1, canary',
      'X-Real-IP: 127.0.0.1',
      'X-Client-IP: 127.0.0.1',
      'True-Client-IP: 127.0.0.1',
    ),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'a role of its own',
    bytes: get({}, 'X-Internal-Role: admin', 'X-HTTP-Method-Override: DELETE'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'a role of its own behind Expect',
    bytes: post({}, 'Expect: 100-continue', 'X-Internal-Role: admin'),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'another Accept',
    bytes: get({}, 'Accept: text/html', 'Accept-Encoding: gzip, br'),
    status: 200,
    reaches: [{ ...DOWNLOADED, fields: { accept: 'application/octet-stream', 'accept-encoding': 'identity' } }],
  },
  {
    name: 'a range',
    bytes: get({}, 'Range: bytes=0-1'),
    status: 206,
    reaches: [{ ...DOWNLOADED, fields: { range: 'bytes=0-1' } }],
  },
  {
    name: 'a range of many pieces',
    bytes: get({}, `Range: bytes=${Array.from({ length: 500 }, (_, i) => `${i}-`).join(',')}`),
    status: 200,
    reaches: [DOWNLOADED],
  },
];

const twice = (name: string, one: string, other: string): HostileCase => ({
  name: `${name} twice`,
  bytes: get({}, one, other),
  status: 400,
});

const REPEATED: HostileCase[] = [
  { name: 'a good token before a bad one', bytes: get({}, 'Authorization: Bearer canary'), status: 400 },
  {
    name: 'a bad token before a good one',
    bytes: get({ fields: ['Host: h', 'Authorization: Bearer canary', ...WITHOUT_HOST] }),
    status: 400,
  },
  { name: 'the same token twice', bytes: get({}, 'authorization: Bearer <token>'), status: 400 },
  { name: 'two secrets', bytes: get({}, 'Share-Secret: canary'), status: 400 },
  {
    name: 'two secrets in one field',
    bytes: get({ fields: ['Host: h', 'Authorization: Bearer <token>', 'share-secret: <secret>, canary'] }),
    status: 400,
  },
  {
    name: 'a secret with a space',
    bytes: get({ fields: ['Host: h', 'Authorization: Bearer <token>', 'share-secret: canary <secret>'] }),
    status: 400,
  },
  {
    name: 'a secret of 600 characters',
    bytes: get({ fields: ['Host: h', 'Authorization: Bearer <token>', `share-secret: ${'c'.repeat(600)}`] }),
    status: 400,
  },
  twice('thumbnail', 'thumbnail: true', 'Thumbnail: false'),
  twice('thumbnail-width', 'thumbnail-width: 1', 'thumbnail-width: 1'),
  twice('thumbnail-height', 'thumbnail-height: 1', 'thumbnail-height: 9999'),
  twice('Range', 'Range: bytes=0-1', 'Range: bytes=2-3'),
  twice('If-Range', 'If-Range: "a"', 'If-Range: "b"'),
  twice('If-Modified-Since', 'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT', 'If-Modified-Since: x'),
  { name: 'restrict-access twice', bytes: post({}, 'restrict-access: true', 'restrict-access: false'), status: 400 },
  { name: 'Content-Type twice', bytes: post({}, 'Content-Type: multipart/form-data; boundary=c'), status: 400 },
  {
    name: 'Content-Encoding twice',
    bytes: post({}, 'Content-Encoding: identity', 'Content-Encoding: gzip'),
    status: 400,
  },
  { name: 'Expect twice', bytes: post({}, 'Expect: 100-continue', 'Expect: 100-continue'), status: 400 },
  {
    name: 'If-None-Match twice, which is a list',
    bytes: get({}, 'If-None-Match: "a"', 'If-None-Match: "b"'),
    status: 200,
    reaches: [DOWNLOADED],
  },
];

describe('a Host field with', () => {
  it.each(HOSTS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('hop-by-hop fields like', () => {
  it.each(HOP_BY_HOP)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('fields for somebody else like', () => {
  it.each(FORWARDED)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('repeated fields like', () => {
  it.each(REPEATED)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});
