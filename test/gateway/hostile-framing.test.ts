import { describe, expect, it } from 'vitest';
import { CHATFILES } from '../kit/easemob.ts';
import {
  chunked,
  CHUNKED,
  filePart,
  form,
  get,
  type HostileCase,
  playHostile,
  post,
  UPLOADED,
} from '../kit/hostile.ts';

const BODY = form(filePart('x'));
const LENGTH = `Content-Length: ${BODY.length}`;
/** What an attacker hides in a body, hoping that somebody takes it for a request. */
const HIDDEN = get({ target: `${CHATFILES}/canary` });
/** An upload with exactly these framing fields. */
const framed = (framing: string[], body: string, more: string[] = []) => post({ framing, body }, ...more);
/** An upload in chunks whose bytes behind the head are just these. */
const raw = (body: string, more: string[] = []) => framed(CHUNKED, body, more);

const UNREADABLE = { status: 400 };

const LENGTHS: HostileCase[] = [
  { name: 'a length', bytes: framed([LENGTH], BODY), status: 200, reaches: [UPLOADED] },
  {
    name: 'chunks',
    bytes: raw(chunked([BODY])),
    status: 200,
    reaches: [{ ...UPLOADED, fields: { 'content-length': String(BODY.length) } }],
  },
  { name: 'length before chunks', bytes: framed([LENGTH, ...CHUNKED], chunked([BODY]) + HIDDEN), ...UNREADABLE },
  { name: 'chunks before length', bytes: framed([...CHUNKED, LENGTH], chunked([BODY]) + HIDDEN), ...UNREADABLE },
  {
    name: 'a length of nothing and chunks',
    bytes: framed(['Content-Length: 0', ...CHUNKED], chunked([HIDDEN])),
    ...UNREADABLE,
  },
  { name: 'two lengths that differ', bytes: framed([LENGTH, 'Content-Length: 0'], BODY + HIDDEN), ...UNREADABLE },
  { name: 'the same length twice', bytes: framed([LENGTH, LENGTH], BODY), ...UNREADABLE },
  { name: 'a list of lengths', bytes: framed([`${LENGTH}, ${BODY.length}`], BODY), ...UNREADABLE },
  { name: 'a signed length', bytes: framed([`Content-Length: +${BODY.length}`], BODY), ...UNREADABLE },
  { name: 'a negative length', bytes: framed(['Content-Length: -1'], BODY), ...UNREADABLE },
  { name: 'a hexadecimal length', bytes: framed(['Content-Length: 0x10'], BODY), ...UNREADABLE },
  { name: 'a length with a unit', bytes: framed([`${LENGTH}b`], BODY), ...UNREADABLE },
  { name: 'a length in parts', bytes: framed([`Content-Length: 1 0`], BODY), ...UNREADABLE },
  { name: 'an empty length', bytes: framed(['Content-Length:'], BODY), ...UNREADABLE },
  { name: 'a length that overflows', bytes: framed([`Content-Length: ${'9'.repeat(30)}`], BODY), ...UNREADABLE },
  {
    name: 'a length with zeros before it',
    bytes: framed([`Content-Length: 000${BODY.length}`], BODY),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'a length with spaces around it',
    bytes: framed([`Content-Length:   ${BODY.length}  `], BODY),
    status: 200,
    reaches: [UPLOADED],
  },
  { name: 'a length with a vertical tab', bytes: framed([`Content-Length: \x0b${BODY.length}`], BODY), ...UNREADABLE },
  { name: 'a space before the colon', bytes: framed([`Content-Length : ${BODY.length}`], BODY), ...UNREADABLE },
  {
    name: 'a length by an underscore',
    bytes: framed([`Content_Length: ${BODY.length}`, 'Content-Length: 0'], BODY + HIDDEN),
    status: [400, 400],
  },
  { name: 'no length at all', bytes: framed([], ''), status: 400 },
  { name: 'no length and a body', bytes: framed([], BODY), status: [400, 400] },
  {
    name: 'a length that says less than comes',
    bytes: framed([`Content-Length: ${BODY.length - 2}`], BODY),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'a length that says more than comes',
    bytes: framed([`Content-Length: ${BODY.length + 1}`], BODY),
    status: 408,
  },
];

const CODINGS: HostileCase[] = [
  {
    name: 'chunked in capitals',
    bytes: framed(['TRANSFER-ENCODING: CHUNKED'], chunked([BODY])),
    status: 200,
    reaches: [UPLOADED],
  },
  { name: 'gzip, chunked', bytes: framed(['Transfer-Encoding: gzip, chunked'], chunked([BODY])), status: 501 },
  { name: 'identity', bytes: framed(['Transfer-Encoding: identity'], BODY + HIDDEN), status: 501 },
  {
    name: 'identity and a length',
    bytes: framed([LENGTH, 'Transfer-Encoding: identity'], BODY + HIDDEN),
    ...UNREADABLE,
  },
  {
    name: 'chunked, identity',
    bytes: framed(['Transfer-Encoding: chunked, identity'], chunked([BODY])),
    ...UNREADABLE,
  },
  { name: 'chunked, chunked', bytes: framed(['Transfer-Encoding: chunked, chunked'], chunked([BODY])), ...UNREADABLE },
  { name: 'chunked in two fields', bytes: framed([...CHUNKED, ...CHUNKED], chunked([BODY])), ...UNREADABLE },
  {
    name: 'two codings in two fields',
    bytes: framed(['Transfer-Encoding: gzip', ...CHUNKED], chunked([BODY])),
    ...UNREADABLE,
  },
  { name: 'chunked in quotes', bytes: framed(['Transfer-Encoding: "chunked"'], chunked([BODY])), status: 501 },
  { name: 'xchunked', bytes: framed(['Transfer-Encoding: xchunked'], chunked([BODY])), status: 501 },
  {
    name: 'chunked with a parameter',
    bytes: framed(['Transfer-Encoding: chunked;canary'], chunked([BODY])),
    status: 501,
  },
  { name: 'an empty coding', bytes: framed(['Transfer-Encoding:'], chunked([BODY])), ...UNREADABLE },
  {
    name: 'chunked behind a vertical tab',
    bytes: framed(['Transfer-Encoding: \x0bchunked'], chunked([BODY])),
    ...UNREADABLE,
  },
  {
    name: 'chunked behind a space before the colon',
    bytes: framed(['Transfer-Encoding : chunked'], chunked([BODY])),
    ...UNREADABLE,
  },
  {
    name: 'chunked on a folded line',
    bytes: framed(['Transfer-Encoding:\r\n chunked', LENGTH], chunked([BODY])),
    ...UNREADABLE,
  },
  {
    name: 'chunked by an underscore',
    bytes: framed(['Transfer_Encoding: chunked', LENGTH], BODY),
    status: 200,
    reaches: [UPLOADED],
  },
];

const CHUNKS: HostileCase[] = [
  { name: 'in many pieces', bytes: raw(chunked(BODY.split(''))), status: 200, reaches: [UPLOADED] },
  {
    name: 'in capital hexadecimals with zeros',
    bytes: raw(`000${BODY.length.toString(16).toUpperCase()}\r\n${BODY}\r\n0\r\n\r\n`),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'with an extension',
    bytes: raw(chunked([BODY]).replace('\r\n', ';canary=1\r\n')),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'with a quoted extension',
    bytes: raw(chunked([BODY]).replace('\r\n', ';a="b;c"\r\n')),
    status: 200,
    reaches: [UPLOADED],
  },
  {
    name: 'with an extension of 20 KB',
    bytes: raw(chunked([BODY]).replace('\r\n', `;${'c'.repeat(20_000)}\r\n`)),
    status: 400,
  },
  { name: 'with a line break in an extension', bytes: raw(chunked([BODY]).replace('\r\n', ';a\nb\r\n')), status: 400 },
  { name: 'with trailers', bytes: raw(chunked([BODY], ['X-Canary: 1'])), status: 200, reaches: [UPLOADED] },
  {
    name: 'with trailers that are fields of the head',
    bytes: raw(chunked([BODY], ['Authorization: Bearer canary', 'restrict-access: true'])),
    status: 200,
    reaches: [{ ...UPLOADED, without: ['restrict-access'] }],
  },
  {
    name: 'with trailers that are framing',
    bytes: raw(chunked([BODY], ['Content-Length: 1', 'Transfer-Encoding: chunked'])),
    status: 400,
  },
  { name: 'with trailers of 20 KB', bytes: raw(chunked([BODY], [`X: ${'c'.repeat(20_000)}`])), status: 431 },
  { name: 'with a broken trailer', bytes: raw(chunked([BODY], ['canary'])), status: 400 },
  { name: 'without a size', bytes: raw(`\r\n${BODY}\r\n0\r\n\r\n`), status: 400 },
  { name: 'of a size that is no number', bytes: raw(`xyz\r\n${BODY}\r\n0\r\n\r\n`), status: 400 },
  { name: 'of a size with 0x', bytes: raw(`0x${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`), status: 400 },
  { name: 'of a negative size', bytes: raw(`-1\r\n${BODY}\r\n0\r\n\r\n`), status: 400 },
  { name: 'of a size that overflows', bytes: raw(`fffffffffffffffff\r\n${BODY}\r\n0\r\n\r\n`), status: 400 },
  { name: 'of a size with a space before it', bytes: raw(` ${chunked([BODY])}`), status: 400 },
  { name: 'of a size with a space behind it', bytes: raw(chunked([BODY]).replace('\r\n', ' \r\n')), status: 400 },
  { name: 'with a bare LF behind the size', bytes: raw(chunked([BODY]).replace('\r\n', '\n')), status: 400 },
  { name: 'with a bare CR behind the size', bytes: raw(chunked([BODY]).replace('\r\n', '\rx')), status: 400 },
  { name: 'with more than the size says', bytes: raw(`1\r\n${BODY}\r\n0\r\n\r\n`), status: 400 },
  { name: 'with bytes behind the chunk', bytes: raw(`${BODY.length.toString(16)}\r\n${BODY}xx0\r\n\r\n`), status: 400 },
  {
    name: 'with a bare LF behind the chunk',
    bytes: raw(`${BODY.length.toString(16)}\r\n${BODY}\n0\r\n\r\n`),
    status: 400,
  },
  { name: 'without a last chunk', bytes: raw(`${BODY.length.toString(16)}\r\n${BODY}\r\n`), status: 408 },
  {
    name: 'without the line behind the last chunk',
    bytes: raw(`${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n`),
    status: 408,
  },
];

describe('the framing of an upload by', () => {
  it.each([...LENGTHS, ...CODINGS])('$name', (hostile) =>
    expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()),
  );
});

describe('chunks', () => {
  it.each(CHUNKS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});
