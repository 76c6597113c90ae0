import { describe, expect, it } from 'vitest';
import { CHATFILES } from '../kit/easemob.ts';
import {
  chunked,
  CHUNKED,
  DOWNLOADED,
  FILE,
  filePart,
  form,
  get,
  head,
  type HostileCase,
  playHostile,
  post,
  UPLOAD,
  UPLOADED,
} from '../kit/hostile.ts';

const [HOST, TOKEN] = UPLOAD;
const typed = (type: string, body = form(filePart())) =>
  post({ fields: [HOST!, TOKEN!, `Content-Type: ${type}`], body });
const part = (headLines: string, content = 'x') => `${headLines}\r\n\r\n${content}`;
const fields = (count: number) =>
  Array.from({ length: count }, (_, i) => part(`Content-Disposition: form-data; name="f${i}"`));
const DISPOSITION = 'Content-Disposition: form-data; name="file"';
const LOOKALIKE = get({ target: `${CHATFILES}/canary`, fields: ['Host: h'] });

const UNEXPECTED: HostileCase[] = [
  { name: 'GET with a length', bytes: `${get({}, 'Content-Length: 6')}canary`, status: 400 },
  {
    name: 'GET with a request as its body',
    bytes: get({}, `Content-Length: ${LOOKALIKE.length}`) + LOOKALIKE,
    status: 400,
  },
  { name: 'GET with chunks', bytes: get({}, ...CHUNKED) + chunked(['canary']), status: 400 },
  { name: 'GET with an empty body', bytes: get({}, 'Content-Length: 0'), status: 200, reaches: [DOWNLOADED] },
  { name: 'GET with a body that never comes', bytes: get({}, 'Content-Length: 10'), status: 400 },
  { name: 'GET with Expect', bytes: get({}, 'Expect: 100-continue'), status: 200, reaches: [DOWNLOADED] },
  {
    name: 'HEAD with a body',
    bytes: `${get({ method: 'HEAD' }, 'Content-Length: 6')}canary`,
    status: 400,
    isHead: true,
  },
  { name: 'DELETE with a body', bytes: `${get({ method: 'DELETE' }, 'Content-Length: 6')}canary`, status: 405 },
  { name: 'a body for a path that is not served', bytes: post({ target: '/canary' }), status: 404 },
];

const EXPECTATIONS: HostileCase[] = [
  { name: 'something else', bytes: post({}, 'Expect: canary'), status: 417 },
  { name: 'a list', bytes: post({}, 'Expect: 100-continue, canary'), status: 417 },
  { name: 'a value', bytes: post({}, 'Expect: 100-continue=canary'), status: 417 },
  {
    name: '100-continue in capitals',
    bytes: post({}, 'EXPECT: 100-CONTINUE'),
    status: 200,
    reaches: [{ ...UPLOADED, without: ['expect'] }],
  },
  {
    name: '100-continue and a body that does not wait',
    bytes: post({}, 'Expect: 100-continue'),
    status: 200,
    reaches: [{ ...UPLOADED, without: ['expect'] }],
  },
  {
    name: '100-continue without a token',
    bytes: post({ fields: [HOST!, UPLOAD[2]!] }, 'Expect: 100-continue'),
    status: 401,
  },
  {
    name: '100-continue from HTTP/1.0',
    bytes: post({ version: 'HTTP/1.0' }, 'Expect: 100-continue'),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: '100-continue and a body that never comes',
    bytes: post({ body: '', framing: ['Content-Length: 100'] }, 'Expect: 100-continue'),
    status: 408,
  },
];

const CODINGS: HostileCase[] = [
  ...['gzip', 'deflate', 'br', 'zstd', 'x-gzip', 'identity, gzip', 'canary', ''].map((coding) => ({
    name: `the coding "${coding}"`,
    bytes: post({}, `Content-Encoding: ${coding}`),
    status: 415,
  })),
  {
    name: 'no coding by name',
    bytes: post({}, 'Content-Encoding: Identity'),
    status: 200,
    reaches: [{ ...UPLOADED, without: ['content-encoding'] }],
  },
];

const TYPES: HostileCase[] = [
  { name: 'none', bytes: post({ fields: [HOST!, TOKEN!] }), status: 415 },
  { name: 'JSON', bytes: typed('application/json', '{"canary":1}'), status: 415 },
  { name: 'a URL-encoded form', bytes: typed('application/x-www-form-urlencoded', 'file=canary'), status: 415 },
  { name: 'multipart/mixed', bytes: typed('multipart/mixed; boundary=b'), status: 415 },
  { name: 'a list of two', bytes: typed('text/plain, multipart/form-data; boundary=b'), status: 415 },
  { name: 'no boundary', bytes: typed('multipart/form-data'), status: 400 },
  { name: 'an empty boundary', bytes: typed('multipart/form-data; boundary='), status: 400 },
  { name: 'a boundary of 71 characters', bytes: typed(`multipart/form-data; boundary=${'b'.repeat(71)}`), status: 400 },
  { name: 'a boundary beyond ASCII', bytes: typed('multipart/form-data; boundary=\xe9'), status: 400 },
  { name: 'an open quote', bytes: typed('multipart/form-data; boundary="b'), status: 400 },
  {
    name: 'five boundaries',
    bytes: typed('multipart/form-data; boundary=b; boundary=c; boundary=d; boundary=e; boundary=f'),
    status: 400,
  },
  {
    name: 'capitals',
    bytes: typed('Multipart/Form-Data; BOUNDARY=b'),
    status: 200,
    reaches: [{ ...UPLOADED, fields: { 'content-type': 'Multipart/Form-Data; BOUNDARY=b' } }],
  },
];

const FORMS: HostileCase[] = [
  { name: 'nothing', bytes: post({ body: '' }), status: 400 },
  { name: 'no parts', bytes: post({ body: '--b--\r\n' }), status: 400 },
  { name: 'no end', bytes: post({ body: form(filePart()).slice(0, -6) }), status: 400 },
  { name: 'another boundary', bytes: post({ body: form(filePart()).replaceAll('--b', '--c') }), status: 400 },
  { name: 'no file', bytes: post({ body: form(...fields(1)) }), status: 400 },
  {
    name: 'a file of another name',
    bytes: post({ body: form(filePart('x', 'form-data; name="canary"; filename="f"')) }),
    status: 400,
  },
  { name: 'two files', bytes: post({ body: form(filePart('x'), filePart('y')) }), status: 400 },
  {
    name: 'two files, one without a file name',
    bytes: post({ body: form(filePart('x'), filePart('y', 'form-data; name=file')) }),
    status: 400,
  },
  { name: 'an empty file', bytes: post({ body: form(filePart('')) }), status: 400 },
  { name: 'a hundred parts', bytes: post({ body: form(...fields(100), filePart()) }), status: 400 },
  {
    name: 'a few parts beside the file',
    bytes: post({ body: form(...fields(3), filePart(), ...fields(3)) }),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'a part head of 9 KB',
    bytes: post({ body: form(part(`${DISPOSITION}\r\nX: ${'c'.repeat(9000)}`)) }),
    status: 400,
  },
  { name: 'a part head that never ends', bytes: post({ body: `--b\r\n${DISPOSITION}\r\n` }), status: 400 },
  { name: 'a part head of one long line', bytes: post({ body: form(part('c'.repeat(3000))) }), status: 400 },
  { name: 'two names', bytes: post({ body: form(part(`${DISPOSITION}; name="canary"`)) }), status: 400 },
  {
    name: 'two dispositions',
    bytes: post({ body: form(part(`${DISPOSITION}\r\nContent-Disposition: form-data; name="x"`)) }),
    status: 400,
  },
  {
    name: 'an extended name',
    bytes: post({ body: form(part("Content-Disposition: form-data; name*=utf-8''file")) }),
    status: 400,
  },
  {
    name: 'a file name that climbs',
    bytes: post({ body: form(filePart('x', 'form-data; name="file"; filename="../../etc/canary"')) }),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'a NUL in a part head',
    bytes: post({ body: form(part(`${DISPOSITION}; filename="a\0.exe"`)) }),
    status: 400,
  },
  { name: 'a bare LF in a part head', bytes: post({ body: form(part(`${DISPOSITION}\nX: canary`)) }), status: 400 },
  { name: 'bare LFs throughout', bytes: post({ body: form(filePart()).replaceAll('\r\n', '\n') }), status: 400 },
  {
    name: 'something on the line of a boundary',
    bytes: post({ body: form(filePart()).replace('--b\r\n', '--bcanary\r\n') }),
    status: 400,
  },
  {
    name: 'a form inside the file',
    bytes: post({ body: form(filePart(`x\r\n--b\r\n${DISPOSITION}\r\n\r\ny`)) }),
    status: 400,
  },
  { name: 'a preamble of 2 KB', bytes: post({ body: `${'c'.repeat(2000)}\r\n${form(filePart())}` }), status: 400 },
  { name: 'a boundary behind the end', bytes: post({ body: form(filePart()) + form(filePart()) }), status: 400 },
  { name: 'a request as its file', bytes: post({ body: form(filePart(LOOKALIKE)) }), status: 200, reaches: [UPLOADED] },
];

const SLOW: HostileCase[] = [
  { name: 'a body that stops', bytes: post().slice(0, -3), status: 408 },
  { name: 'a body that never begins', bytes: post({ body: '', framing: ['Content-Length: 100'] }), status: 408 },
  { name: 'a head that never begins', bytes: '\r\n', status: 408 },
  {
    name: 'a body for a refused request that never comes',
    bytes: head('POST /canary HTTP/1.1', 'Host: h', 'Content-Length: 9000'),
    status: 404,
  },
  {
    name: 'a body for a file that never comes',
    bytes: head(`POST ${FILE} HTTP/1.1`, 'Host: h', ...CHUNKED),
    status: 405,
  },
];

describe('a body where there should be none, like', () => {
  it.each(UNEXPECTED)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('an expectation of', () => {
  it.each(EXPECTATIONS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('an upload in', () => {
  it.each(CODINGS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('an upload of the type', () => {
  it.each(TYPES)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('a form with', () => {
  it.each(FORMS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('a client that waits with', () => {
  it.each(SLOW)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});
