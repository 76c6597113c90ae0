import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { watchMultipart } from '../../src/policy/multipart.ts';
import { formData, LIMITS, pieces, watch } from './multipart-kit.ts';

const part = (head: string, content: string): string => `--b\r\n${head}\r\n\r\n${content}\r\n`;
const named = (name: string, content: string): string =>
  part(`Content-Disposition: form-data; name="${name}"`, content);
const disposed = (disposition: string): string => `${part(`Content-Disposition: ${disposition}`, 'hello')}--b--\r\n`;
const END = '--b--\r\n';
const FILE = named('file', 'hello');
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('the body', () => {
  test.each<[sentence: string, body: string, verdict: string]>([
    ['is allowed with one file', FILE + END, 'allowed'],
    [
      'may have other parts before and behind the file',
      named('app', '1') + FILE + named('width', '9') + END,
      'allowed',
    ],
    ['may end without a line break', `${FILE}--b--`, 'allowed'],
    ['may end with a bare line feed', `${FILE}--b--\n`, 'allowed'],
    ['may have blanks behind the final boundary', `${FILE}--b-- \t\r\n`, 'allowed'],
    ['may have a preamble', `This is for old mail readers.\r\n${FILE}${END}`, 'allowed'],
    ['may have a preamble of 1024 bytes', `${'x'.repeat(1024)}\r\n${FILE}${END}`, 'allowed'],
    ['may have no longer preamble', `${'x'.repeat(1025)}\r\n${FILE}${END}`, 'MULTIPART_MALFORMED'],
    ['may have an epilogue', `${FILE}${END}So long.\r\n--\r\n--c\r\n`, 'allowed'],
    ['may have no parts in the epilogue', FILE + END + FILE + END, 'MULTIPART_MALFORMED'],
    ['may have no boundary at the end of the epilogue', `${FILE}${END}\r\n--b`, 'MULTIPART_MALFORMED'],
    ['may have empty parts', named('x', '') + FILE + END, 'allowed'],
    ['may have parts without a name', part('Content-Type: text/plain', 'x') + FILE + END, 'allowed'],
    ['may have parts without a head', `--b\r\n\r\nx\r\n${FILE}${END}`, 'allowed'],
    ['needs a file', named('x', 'hello') + END, 'FILE_MISSING'],
    ['needs a part', END, 'FILE_MISSING'],
    ['may have no second file', FILE + FILE + END, 'FILE_REPEATED'],
    ['may have no empty file', named('file', '') + END, 'FILE_EMPTY'],
    ['may have no empty file beside another', named('file', '') + FILE + END, 'FILE_EMPTY'],
    ['needs a final boundary', FILE, 'MULTIPART_MALFORMED'],
    ['needs the whole of the final boundary', `${FILE}--b-`, 'MULTIPART_MALFORMED'],
    ['may not break off in a head', `${FILE}--b\r\nContent-Disp`, 'MULTIPART_MALFORMED'],
    [
      'may not break off in the file',
      '--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhel',
      'MULTIPART_MALFORMED',
    ],
    ['may not be empty', '', 'MULTIPART_MALFORMED'],
    ['may not be something else', '{"file":"hello"}', 'MULTIPART_MALFORMED'],
    ['may not use another boundary', '--c\r\n\r\n\r\n--c--\r\n', 'MULTIPART_MALFORMED'],
    // RFC 2046 has these as boundaries, other readers have them as content: no body may be read in both ways.
    ['may not go on behind a boundary on its line', `${named('x', '1')}--bc\r\n${FILE}${END}`, 'MULTIPART_MALFORMED'],
    ['may not go on behind one dash', `${FILE}--b-\r\n\r\n\r\n${END}`, 'MULTIPART_MALFORMED'],
    ['may not go on behind the final boundary on its line', `${FILE}--b--c\r\n`, 'MULTIPART_MALFORMED'],
    ['may have no boundary behind a bare line feed', named('file', 'a\n--b') + END, 'MULTIPART_MALFORMED'],
    ['may have no boundary behind a bare carriage return', named('file', 'a\r--b') + END, 'MULTIPART_MALFORMED'],
    ['may have no line feeds for line breaks', (FILE + END).replaceAll('\r\n', '\n'), 'MULTIPART_MALFORMED'],
    ['may have no boundary straight behind a head', `--b\r\nA: b\r\n\r\n--b--\r\n`, 'MULTIPART_MALFORMED'],
    ['may have no boundary in a head', `--b\r\n--b\r\n\r\n${FILE}${END}`, 'MULTIPART_MALFORMED'],
    ['may have a boundary inside a line', named('file', 'a--b\r\n --b') + END, 'allowed'],
    ['may have blanks behind a boundary', `--b \t\r\n${FILE.slice(5)}${END}`, 'allowed'],
    ['may have sixteen parts', named('x', '').repeat(15) + FILE + END, 'allowed'],
    ['may not have seventeen parts', named('x', '').repeat(16) + FILE + END, 'MULTIPART_MALFORMED'],
  ])('%s', (_, body, verdict) => {
    expect(watch(bytes(body)).verdict).toBe(verdict);
    expect(watch(bytes(body), { sizes: [1] }).verdict).toBe(verdict);
  });
});

describe('the part that is the file', () => {
  test.each<[sentence: string, disposition: string, verdict: string]>([
    ['has the name file', 'form-data; name="file"', 'allowed'],
    ['may have a file name', 'form-data; name="file"; filename="a.png"', 'allowed'],
    ['may have its file name first', 'form-data; filename="a.png"; name="file"', 'allowed'],
    ['may have no quotes', 'form-data; name=file; filename=a.png', 'allowed'],
    ['may have no blanks', 'form-data;name="file";filename="a.png"', 'allowed'],
    ['may have more blanks', 'form-data ; \tname = "file" ; filename=a b.png', 'allowed'],
    ['may have empty parameters', 'form-data;; name="file";', 'allowed'],
    ['is found in any case', 'FORM-Data; NAME="file"', 'allowed'],
    ['is found in a folded line', 'form-data;\r\n name="file"', 'allowed'],
    ['may have a raw UTF-8 file name', 'form-data; name="file"; filename="\xe5\x9b\xbe.png"', 'allowed'],
    ['may have an extended file name', 'form-data; name="file"; filename*=utf-8\'\'%e5%9b%be.png', 'allowed'],
    ['may have escaped quotes in its file name', 'form-data; name="file"; filename="say \\"hi; x\\".png"', 'allowed'],
    ['may have an escaped backslash in its file name', 'form-data; name="file"; filename="a\\\\b.png"', 'allowed'],
    ['may be named in its file name as well', 'form-data; name="file"; filename="; name=file"', 'allowed'],
    ['is spelled in lower case', 'form-data; name="File"', 'FILE_MISSING'],
    ['is not one whose name goes on', 'form-data; name="files"', 'FILE_MISSING'],
    ['is not one whose name ends in a blank', 'form-data; name="file "', 'FILE_MISSING'],
    ['is not one whose name is percent-encoded', 'form-data; name="fil%65"', 'FILE_MISSING'],
    ['is not one whose name holds a parameter', 'form-data; name="a; name=file"', 'FILE_MISSING'],
    ['is not one whose file name holds a name', 'form-data; filename="name=\\"file\\""', 'FILE_MISSING'],
    ['is not one whose parameter ends in name', 'form-data; filename="file"; x-name=file', 'FILE_MISSING'],
    ['is not one with single quotes', "form-data; name='file'", 'FILE_MISSING'],
    ['is not one without a name', 'form-data', 'FILE_MISSING'],
    ['may not have two names', 'form-data; name="file"; name="x"', 'MULTIPART_MALFORMED'],
    ['may not have its name twice', 'form-data; name="file"; NAME=file', 'MULTIPART_MALFORMED'],
    ['may not have an extended name', "form-data; name*=utf-8''file", 'MULTIPART_MALFORMED'],
    ['may not be an attachment', 'attachment; name="file"', 'MULTIPART_MALFORMED'],
    ['may not have an open quote', 'form-data; name="file', 'MULTIPART_MALFORMED'],
    ['may not have bytes behind a quote', 'form-data; name="file"x', 'MULTIPART_MALFORMED'],
    ['may not have a quote inside a token', 'form-data; name=fi"le"', 'MULTIPART_MALFORMED'],
    ['may not have a blank inside a token', 'form-data; name=fi le', 'MULTIPART_MALFORMED'],
    ['may not have an escape in its name', 'form-data; name="fi\\le"', 'MULTIPART_MALFORMED'],
    // Without escapes the file name ends at the first \" and what follows is a name.
    ['may not hide a name behind an escape', 'form-data; filename="a\\"; name=file; x=\\"b"', 'MULTIPART_MALFORMED'],
    [
      'may not show a name only with escapes',
      'form-data; filename="a\\\\"; name="file"; x="\\"',
      'MULTIPART_MALFORMED',
    ],
    ['may not have a NUL in its head', 'form-data; name="file\0"', 'MULTIPART_MALFORMED'],
    ['may not have a bare line feed in its head', 'form-data; filename="a\nb"; name="file"', 'MULTIPART_MALFORMED'],
    [
      'may not have a bare carriage return in its head',
      'form-data; filename="a\rb"; name="file"',
      'MULTIPART_MALFORMED',
    ],
    [
      'may not have a second disposition',
      'form-data; name="x"\r\ncontent-disposition: form-data; name="file"',
      'MULTIPART_MALFORMED',
    ],
    ['may not have a line that is no header', 'form-data; name="file"\r\nhello', 'MULTIPART_MALFORMED'],
    [
      'may not have a blank before a colon',
      'form-data; name="x"\r\nContent-Disposition : form-data; name="file"',
      'MULTIPART_MALFORMED',
    ],
    ['may not begin with a folded line', 'form-data; name="file"\r\n: x', 'MULTIPART_MALFORMED'],
  ])('%s', (_, disposition, verdict) => {
    expect(watch(bytes(disposed(disposition))).verdict).toBe(verdict);
  });

  test.each([
    'Content-Transfer-Encoding: base64',
    'content-transfer-encoding:Quoted-Printable',
    'Content-Transfer-Encoding: x-uuencode',
    'Content-Transfer-Encoding: (8bit) base64',
    'Content-Transfer-Encoding: base64 (8bit)',
    'Content-Transfer-Encoding: "base64"',
    'Content-Transfer-Encoding:\r\n base64',
    'Content-Transfer-Encoding:',
    'Content-Transfer-Encoding: binary\r\nContent-Transfer-Encoding: base64',
    'Content-Encoding: gzip',
    'Content-Type: multipart/mixed; boundary=x',
    'content-type:MULTIPART/Mixed',
    'content-encoding: identity',
  ])('may not say that its bytes are packed: %j', (line) => {
    const disposition = (name: string) => `Content-Disposition: form-data; name="${name}"\r\n${line}`;
    const seen = watch(bytes(part(disposition('file'), 'hello') + END));
    expect(seen).toMatchObject({
      verdict: 'MULTIPART_MALFORMED',
      reason: expect.stringMatching(/oding|other parts/) as string,
    });
    expect(watch(bytes(part(disposition('x'), 'hello') + FILE + END)).verdict).toBe('MULTIPART_MALFORMED');
  });

  // As Apache's HttpClient, Netty and old versions of OkHttp and Retrofit write them.
  test.each(['7bit', '8bit', 'binary', 'BINARY', ' binary\t'])('may say that its bytes are plain: %j', (coding) => {
    const head = `Content-Disposition: form-data; name="file"\r\nContent-Transfer-Encoding:${coding}`;
    expect(watch(bytes(part(head, 'hello') + END)).verdict).toBe('allowed');
  });

  test('is found by a header name in any case', () => {
    expect(watch(bytes(`--b\r\ncOnTeNt-DiSpOsItIoN:form-data;name=file\r\n\r\nx\r\n${END}`)).verdict).toBe('allowed');
  });

  test('may have a head of exactly the limit, and not of one byte more', () => {
    const disposition = 'Content-Disposition: form-data; name="file"';
    const filled = (size: number) => {
      const rest = size - `\r\nX: \r\n${disposition}\r\n\r\n`.length;
      return bytes(part(`X: ${'x'.repeat(rest)}\r\n${disposition}`, 'hello') + END);
    };
    expect(watch(filled(LIMITS.maxPartHeadBytes)).verdict).toBe('allowed');
    expect(watch(filled(LIMITS.maxPartHeadBytes), { sizes: [1] }).verdict).toBe('allowed');
    expect(watch(filled(LIMITS.maxPartHeadBytes + 1)).verdict).toBe('MULTIPART_MALFORMED');
  });
});

describe('the count of the file', () => {
  const limits = { ...LIMITS, fileBytes: 1000 };

  test('allows exactly the limit', () => {
    const seen = watch(bytes(named('file', 'x'.repeat(1000)) + END), { limits });
    expect(seen).toMatchObject({ verdict: 'allowed', fileBytes: 1000 });
  });

  test('refuses one byte more', () => {
    expect(watch(bytes(named('file', 'x'.repeat(1001)) + END), { limits }).verdict).toBe('BODY_TOO_LARGE');
  });

  test('refuses as soon as it is certain, and not while the bytes may be a boundary', () => {
    const open = `--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n${'x'.repeat(1000)}`;
    expect(watch(bytes(`${open}\r\n--`), { limits, end: false }).verdict).toBe('allowed');
    expect(watch(bytes(`${open}\r\n--x`), { limits, end: false }).verdict).toBe('BODY_TOO_LARGE');
    expect(watch(bytes(`${open}x`), { limits, end: false }).verdict).toBe('BODY_TOO_LARGE');
  });

  test('leaves other parts out', () => {
    const seen = watch(bytes(named('x', 'y'.repeat(5000)) + FILE + named('z', 'y'.repeat(5000)) + END), { limits });
    expect(seen).toMatchObject({ verdict: 'allowed', fileBytes: 5, fileHead: 'hello' });
  });

  test('keeps a copy of the first 4 KB', () => {
    const content = Array.from({ length: 5000 }, (_, index) => String.fromCharCode(33 + (index % 90))).join('');
    for (const size of [1, 7, 65_536]) {
      expect(watch(bytes(named('file', content) + END), { sizes: [size] }).fileHead).toBe(content.slice(0, 4096));
    }
  });

  test.each([1, 2, 3, 7, 64, 65_536])('shows where the file stands and what is in it, in pieces of %i', (size) => {
    const content = 'a\r\n--\r\n--o\r\n-\r\n--c'.repeat(50);
    for (const before of ['', 'preamble\r\n']) {
      const body = bytes(before + named('x', 'y'.repeat(500)) + named('file', content) + named('z', 'y') + END);
      const shown: Buffer[] = [];
      const opened = watchMultipart(formData('b'), {
        ...LIMITS,
        onFile: (piece) => void shown.push(Buffer.from(piece)),
      });
      if ('allowed' in opened) throw new Error(opened.reason);
      for (const piece of pieces(body, [size])) opened.push(piece);
      expect(opened.end()).toEqual({ allowed: true });
      expect(Buffer.concat(shown).toString()).toBe(content);
      expect(body.toString('latin1', opened.fileStart, opened.fileStart + opened.fileBytes)).toBe(content);
    }
  });

  test('stays at its refusal', () => {
    const seen = watch(bytes(FILE + FILE + END + FILE), { sizes: [3] });
    expect(seen.verdict).toBe('FILE_REPEATED');
  });
});

const bodyWith = (boundary: string): Buffer => bytes((FILE + END).replaceAll('--b', () => `--${boundary}`));

describe('the Content-Type', () => {
  test.each<[sentence: string, contentType: string, boundary: string, verdict: string]>([
    ['may be in any case', 'Multipart/Form-Data; BOUNDARY=b', 'b', 'allowed'],
    ['may have other parameters', 'multipart/form-data; charset=utf-8; boundary=b; x=y', 'b', 'allowed'],
    ['may have a boundary of asterisks', 'multipart/form-data; charset=utf-8; boundary=*****', '*****', 'allowed'],
    ['may have no blanks', 'multipart/form-data;boundary=b', 'b', 'allowed'],
    ['may have quotes', 'multipart/form-data; boundary="b"', 'b', 'allowed'],
    ['may have blanks inside quotes', 'multipart/form-data; boundary="a b"', 'a b', 'allowed'],
    [
      'may have every character of RFC 2046',
      `multipart/form-data; boundary="b'()+_,-./:=?"`,
      "b'()+_,-./:=?",
      'allowed',
    ],
    ['may have others than RFC 2046 allows', 'multipart/form-data; boundary={b}$&!', '{b}$&!', 'allowed'],
    ['may end in a semicolon', 'multipart/form-data; boundary=b;', 'b', 'allowed'],
    ['may have a boundary of 70 characters', formData('b'.repeat(70)), 'b'.repeat(70), 'allowed'],
    ['may name the same boundary twice', formData('b', '"b"'), 'b', 'allowed'],
    ['may name the real boundary last', formData('----WebKitFormBoundary', 'b'), 'b', 'allowed'],
    ['may name the real boundary first', formData('b', 'c'), 'b', 'allowed'],
    ['may name the beginning of the real boundary', formData('b', 'bc'), 'bc', 'allowed'],
    ['may name the real boundary and a longer one', formData('bc', 'b'), 'b', 'allowed'],
    ['may name four boundaries', formData('a', 'c', 'd', 'b'), 'b', 'allowed'],
    ['may not name five boundaries', formData('a', 'c', 'd', 'e', 'b'), 'b', 'MULTIPART_MALFORMED'],
    ['may name a boundary and its end', formData('b', 'b--'), 'b', 'allowed'],
    ['may name the beginning of the end of the real boundary', formData('---', '-----b'), '-----b', 'allowed'],
    ['may not have a boundary of 71 characters', formData('b'.repeat(71)), 'b'.repeat(71), 'MULTIPART_MALFORMED'],
    ['needs a boundary', 'multipart/form-data', 'b', 'MULTIPART_MALFORMED'],
    ['needs a boundary that is not empty', formData(''), '', 'MULTIPART_MALFORMED'],
    ['may not end its boundary in a blank', formData('"b "'), 'b ', 'MULTIPART_MALFORMED'],
    ['may not have blanks without quotes', formData('a b'), 'a b', 'MULTIPART_MALFORMED'],
    ['may not have escapes in its boundary', formData('"a\\b"'), 'ab', 'MULTIPART_MALFORMED'],
    ['may not have an open quote', formData('"b'), 'b', 'MULTIPART_MALFORMED'],
    ['may not have bytes behind a quote', formData('"b"c'), 'b', 'MULTIPART_MALFORMED'],
    ['may not be an extended boundary', "multipart/form-data; boundary*=utf-8''b", 'b', 'MULTIPART_MALFORMED'],
    ['may not have a part of a boundary', formData('b').concat('; boundary*0=c'), 'b', 'MULTIPART_MALFORMED'],
    ['needs to be form-data', 'multipart/mixed; boundary=b', 'b', 'MEDIA_UNSUPPORTED'],
    ['may not go on behind form-data', 'multipart/form-data-x; boundary=b', 'b', 'MEDIA_UNSUPPORTED'],
    ['may not be JSON', 'application/json', 'b', 'MEDIA_UNSUPPORTED'],
    ['may not be two joined ones', 'application/json, multipart/form-data; boundary=b', 'b', 'MEDIA_UNSUPPORTED'],
    ['may not be empty', '', 'b', 'MEDIA_UNSUPPORTED'],
  ])('%s', (_, contentType, boundary, verdict) => {
    expect(watch(bodyWith(boundary), { contentType }).verdict).toBe(verdict);
    expect(watch(bodyWith(boundary), { contentType, sizes: [1] }).verdict).toBe(verdict);
  });

  // With two boundaries, a reader that takes the other one would find other parts in the same bytes.
  test('with two boundaries lets none of them stand in the content of a body that uses the other', () => {
    const smuggled = named('x', '\r\n--c\r\nContent-Disposition: form-data; name="file"\r\n\r\nhidden\r\n--c--');
    expect(watch(bytes(smuggled + FILE + END), { contentType: formData('b') }).verdict).toBe('allowed');
    expect(watch(bytes(smuggled + FILE + END), { contentType: formData('c', 'b') }).verdict).toBe(
      'MULTIPART_MALFORMED',
    );
    expect(watch(bytes(smuggled + FILE + END), { contentType: formData('b', 'c') }).verdict).toBe(
      'MULTIPART_MALFORMED',
    );
  });

  test('that is missing is refused as an unsupported medium', () => {
    expect(watchMultipart(undefined, LIMITS)).toMatchObject({ allowed: false, code: 'MEDIA_UNSUPPORTED' });
  });
});

describe('however the body is cut into pieces', () => {
  const tokens = [
    '\r\n--b',
    '--b',
    '\r\n',
    '--',
    '\r',
    '\n',
    '-',
    'b',
    '\r\n--',
    '\r\n\r\n',
    ' ',
    'c',
    '\r\n--b--\r\n',
  ];
  const heads = ['\r\n--bc', 'Content-Disposition: form-data; name="file"\r\n\r\n', 'A: b\r\n', '\r\n--b\r\n\r\n'];
  const token = fc.constantFrom(...tokens, ...heads, 'x'.repeat(80), FILE, named('x', 'y'));
  const body = fc.array(token, { maxLength: 30 }).map((tokens) => bytes(tokens.join('')));

  test.each([[['b']], [['b', 'bc']], [['b', 'b--']], [['b', 'c', '-']]])(
    'the answer is the same for the boundaries %j',
    (boundaries) => {
      const contentType = formData(...boundaries);
      const limits = { fileBytes: 40, maxParts: 4, maxPartHeadBytes: 60 };
      fc.assert(
        fc.property(body, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }), (body, sizes) => {
          const { verdict, reason } = watch(body, { contentType, limits });
          expect(watch(body, { contentType, limits, sizes })).toMatchObject({ verdict, reason });
          expect(watch(body, { contentType, limits, sizes: [1] })).toMatchObject({ verdict, reason });
        }),
        { numRuns: 1500 },
      );
    },
  );
});
