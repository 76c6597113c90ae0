import { IncomingMessage, type IncomingHttpHeaders } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { makeEntry, maxBytesOf, mayKeep, validatorOf } from '../../src/server/keep.ts';

const PICTURE = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.from('the rest of a picture')]);
const HEADERS = { 'content-type': 'image/jpeg', 'content-length': '24' };

const answer = (headers: IncomingHttpHeaders, status = 200) =>
  ({ kind: 'answer', status, headers, body: new IncomingMessage(new Socket()), release() {} }) as const;

describe('an answer may be kept', () => {
  it.each<[string, IncomingHttpHeaders]>([
    ['that is a picture', {}],
    ['of the very size that is allowed', { 'content-length': '100' }],
    ['in chunks, whose size nobody knows yet', { 'content-length': undefined, 'transfer-encoding': 'chunked' }],
    ['that others may not share', { 'cache-control': 'private, max-age=0, no-cache' }],
    ['of a type that needs a look at its bytes', { 'content-type': 'application/octet-stream' }],
  ])('%s', (_case, more) => {
    expect(mayKeep(answer({ ...HEADERS, ...more }), 100)).toBe(true);
  });

  it.each<[string, IncomingHttpHeaders, number?]>([
    ['of another status', {}, 203],
    ['that is a part', {}, 206],
    ['that has nothing', {}, 204],
    ['that says it is a part', { 'content-range': 'bytes 0-9/10' }],
    ['that is encoded', { 'content-encoding': 'gzip' }],
    ['that is encoded as nothing in particular', { 'content-encoding': 'identity' }],
    ['that is not to be stored', { 'cache-control': 'no-store' }],
    ['that is not to be stored, in other letters', { 'cache-control': 'max-age=5,NO-STORE' }],
    ['that is too large by a byte', { 'content-length': '101' }],
    ['whose end nobody could tell', { 'content-length': undefined }],
    ['of JSON', { 'content-type': 'application/json' }],
    ['of a script', { 'content-type': 'text/javascript' }],
    ['without a type', { 'content-type': undefined }],
  ])('but not one %s', (_case, more, status) => {
    expect(mayKeep(answer({ ...HEADERS, ...more }, status), 100)).toBe(false);
  });

  it('up to a size that is another for originals', () => {
    const limits = { maxEntryBytes: 5, originalBytes: 7 };
    expect([maxBytesOf('thumbnail', limits), maxBytesOf('large', limits), maxBytesOf('original', limits)]).toEqual([
      5, 5, 7,
    ]);
  });
});

describe('an entry', () => {
  it('has an ETag of its bytes, and the fields that are listed', () => {
    const headers = {
      ...HEADERS,
      'content-disposition': 'inline',
      'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
      etag: '"theirs"',
      'set-cookie': ['a=b'],
      'x-more': 'more',
    };
    const entry = makeEntry('thumbnail', headers, PICTURE, 5);
    expect(entry).toEqual({
      storedAt: 5,
      body: PICTURE,
      fields: {
        'content-type': 'image/jpeg',
        etag: expect.stringMatching(/^"[\w-]{27}"$/) as string,
        'content-disposition': 'inline',
        'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
        'upstream-etag': '"theirs"',
      },
    });
    const again = makeEntry('small', { ...HEADERS, etag: '"other"' }, Buffer.from(PICTURE), 9);
    expect(again?.fields['etag']).toBe(entry?.fields['etag']);
    const other = makeEntry('thumbnail', HEADERS, Buffer.concat([PICTURE, Buffer.from('.')]), 5);
    expect(other?.fields['etag']).not.toBe(entry?.fields['etag']);
  });

  it('is not made of nothing, nor of a thumbnail that is no picture', () => {
    expect(makeEntry('thumbnail', HEADERS, Buffer.alloc(0), 5)).toBeUndefined();
    expect(makeEntry('original', HEADERS, Buffer.alloc(0), 5)).toBeUndefined();
    expect(makeEntry('thumbnail', HEADERS, Buffer.from('{"error":"no"}'), 5)).toBeUndefined();
    expect(makeEntry('thumbnail', { 'content-type': 'audio/amr' }, PICTURE, 5)).toBeUndefined();
  });

  it('is made of an original of any kind', () => {
    expect(makeEntry('original', { 'content-type': 'audio/amr' }, Buffer.from('#!AMR'), 5)?.body.length).toBe(5);
  });

  it.each([
    ['its ETag', { etag: '"a"', 'last-modified': 'then' }, { 'if-none-match': '"a"' }],
    ['its weak ETag', { etag: 'W/"a"' }, { 'if-none-match': 'W/"a"' }],
    ['its date, where it has no ETag', { 'last-modified': 'then' }, { 'if-modified-since': 'then' }],
    ['nothing, where it has neither', {}, {}],
  ])('is asked about upstream by %s', (_case, headers, validator) => {
    const entry = makeEntry('thumbnail', { ...HEADERS, ...headers }, PICTURE, 5);
    expect(entry && validatorOf(entry)).toEqual(validator);
  });
});
