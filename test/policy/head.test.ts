import { describe, expect, it } from 'vitest';
import { checkFraming, checkHead } from '../../src/policy/head.ts';

const fields = (text: string) =>
  text.split('\n').flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
const head = (text: string, method = 'GET', httpVersion = '1.1') => ({
  method,
  httpVersion,
  rawHeaders: text === '' ? [] : fields(text),
});

describe('the framing of a request', () => {
  it.each([
    ['HTTP/1.1', '', '1.1'],
    ['HTTP/1.0', '', '1.0'],
    ['a chunked body', 'Transfer-Encoding: chunked', '1.1'],
    ['a chunked body in another case', 'TRANSFER-ENCODING: Chunked', '1.1'],
  ])('may be %s', (_case, text, version) => {
    expect(checkFraming(head(text, 'POST', version))).toEqual({ allowed: true });
  });

  it.each([
    ['HTTP/0.9', '', '0.9', 'VERSION_UNSUPPORTED'],
    ['HTTP/2.0 in text', '', '2.0', 'VERSION_UNSUPPORTED'],
    ['chunks in HTTP/1.0', 'Transfer-Encoding: chunked', '1.0', 'REQUEST_MALFORMED'],
    ['a coding before chunked', 'Transfer-Encoding: gzip, chunked', '1.1', 'CODING_UNKNOWN'],
    ['identity', 'Transfer-Encoding: identity', '1.1', 'CODING_UNKNOWN'],
    ['chunked twice', 'Transfer-Encoding: chunked\nTransfer-Encoding: chunked', '1.1', 'FIELD_REPEATED'],
    ['two lengths of different kinds', 'Content-Length: 3\nTransfer-Encoding: chunked', '1.1', 'REQUEST_MALFORMED'],
  ])('may not be %s', (_case, text, version, code) => {
    expect(checkFraming(head(text, 'POST', version))).toMatchObject({ allowed: false, code });
  });
});

describe('the head of a request', () => {
  it.each([
    ['a name as host', 'Host: gateway.example.com'],
    ['a name with an underscore, as Docker has them', 'Host: gateway_1:8080'],
    ['an IPv6 address as host', 'Host: [::1]:8080'],
    ['list fields twice', 'Host: h\nAccept: a\nAccept: b\nX-Forwarded-For: 1\nX-Forwarded-For: 2'],
    ['a length of nothing', 'Host: h\nContent-Length: 0'],
    ['an expectation', 'Host: h\nExpect: 100-Continue'],
  ])('may have %s', (_case, text) => {
    expect(checkHead(head(text))).toEqual({ allowed: true });
  });

  it('may leave Host away in HTTP/1.0', () => {
    expect(checkHead(head('', 'GET', '1.0'))).toEqual({ allowed: true });
  });

  it.each([
    ['no host', 'Accept: */*', 'HOST_INVALID'],
    ['two hosts', 'Host: a\nHost: a', 'HOST_INVALID'],
    ['an empty host', 'Host:', 'HOST_INVALID'],
    ['a host with a path', 'Host: a/b', 'HOST_INVALID'],
    ['a host with user info', 'Host: me@a', 'HOST_INVALID'],
    ['a host with a port that is none', 'Host: a:b', 'HOST_INVALID'],
    ['a host list', 'Host: a, b', 'HOST_INVALID'],
    ['two tokens', 'Host: h\nAuthorization: Bearer a\nauthorization: Bearer b', 'FIELD_REPEATED'],
    ['two secrets', 'Host: h\nShare-Secret: a\nshare-secret: a', 'FIELD_REPEATED'],
    ['thumbnail twice', 'Host: h\nthumbnail: true\nthumbnail: false', 'FIELD_REPEATED'],
    ['restrict-access twice', 'Host: h\nrestrict-access: true\nrestrict-access: false', 'FIELD_REPEATED'],
    ['two ranges', 'Host: h\nRange: bytes=0-1\nRange: bytes=2-3', 'FIELD_REPEATED'],
    ['a body of known length with GET', 'Host: h\nContent-Length: 1', 'BODY_UNEXPECTED'],
    ['a chunked body with GET', 'Host: h\nTransfer-Encoding: chunked', 'BODY_UNEXPECTED'],
    ['an unknown expectation', 'Host: h\nExpect: 200-ok', 'EXPECTATION_FAILED'],
  ])('may not have %s', (_case, text, code) => {
    expect(checkHead(head(text))).toMatchObject({ allowed: false, code });
  });

  it('may have a hundred fields and no more', () => {
    const many = (count: number) =>
      head(['Host: h', ...Array.from({ length: count - 1 }, (_, i) => `x-${i}: 1`)].join('\n'));
    expect(checkHead(many(100))).toEqual({ allowed: true });
    expect(checkHead(many(101))).toMatchObject({ code: 'HEAD_TOO_LARGE' });
  });
});
