import { describe, expect, it } from 'vitest';
import { isFileType, isPicture } from '../../src/policy/file-type.ts';

describe('an answer with a status of success', () => {
  it.each([
    'image/jpeg',
    'IMAGE/JPEG',
    'image/png; charset=binary',
    ' video/mp4 ',
    'audio/amr',
    'text/plain;charset=UTF-8',
    'application/octet-stream',
    'application/vnd.ms-excel',
    'image/svg+xml',
  ])('of the type %s may be a file', (type) => {
    expect(isFileType(type)).toBe(true);
  });

  it.each([
    [undefined],
    [''],
    ['application/json'],
    ['application/json;charset=utf-8'],
    ['Application/JSON'],
    ['application/problem+json'],
    ['application/x-json'],
    ['text/json'],
    ['application/javascript'],
    ['application/x-javascript'],
    ['application/ecmascript'],
    ['text/javascript; charset=utf-8'],
    ['text/x-javascript'],
    ['text/javascript1.5'],
    ['text/jscript'],
    ['text/html'],
    ['TEXT/HTML'],
    ['application/xhtml+xml'],
    // Two fields that a hop has joined: nobody knows which one is meant.
    ['image/jpeg, application/json'],
    ['application/json, image/jpeg'],
    ['jpeg'],
    ['image/'],
    ['/jpeg'],
    ['image/jpeg png'],
  ])('of the type %s is no file that somebody was given', (type) => {
    expect(isFileType(type)).toBe(false);
  });
});

/** The first bytes of a file, and some more. */
const begins = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat([
    ...parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
    Buffer.alloc(20),
  ]);

describe('a picture', () => {
  it.each([
    ['a JPEG', begins([0xff, 0xd8, 0xff, 0xe0])],
    ['a PNG', begins('\x89PNG\r\n\x1a\n')],
    ['an old GIF', begins('GIF87a')],
    ['a GIF', begins('GIF89a')],
    ['a WebP', begins('RIFF', [1, 2, 3, 4], 'WEBP')],
    ['a bitmap', begins('BM')],
    ['an AVIF', begins([0, 0, 0, 32], 'ftypavif')],
    ['a HEIC', begins([0, 0, 0, 24], 'ftypheic')],
  ])('is %s by its first bytes, whichever image its type names', (_case, body) => {
    expect(isPicture('image/jpeg', body)).toBe(true);
    expect(isPicture('image/x-unknown; q=1', body)).toBe(true);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['two bytes of a JPEG', Buffer.from([0xff, 0xd8])],
    ['JSON', Buffer.from('{"error":"unauthorized"}')],
    ['a script', Buffer.from('callback({})')],
    ['a page', Buffer.from('<!doctype html>')],
    ['a drawing that can run scripts', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['sound in a RIFF', begins('RIFF', [1, 2, 3, 4], 'WAVE')],
    ['a video', begins([0, 0, 0, 32], 'ftypisom')],
    ['a JPEG behind a space', begins(' ', [0xff, 0xd8, 0xff])],
    ['gzip', begins([0x1f, 0x8b, 8])],
  ])('is not %s, whatever its type says', (_case, body) => {
    for (const type of ['image/jpeg', 'image/png', 'image/svg+xml']) expect(isPicture(type, body)).toBe(false);
  });

  it.each([undefined, '', 'application/octet-stream', 'application/json', 'text/html', 'ximage/jpeg'])(
    'is not one of the type %s, whatever its bytes say',
    (type) => {
      expect(isPicture(type, begins([0xff, 0xd8, 0xff]))).toBe(false);
    },
  );
});
