import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { watch } from './multipart-kit.ts';

const PICTURE = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 31 + (index >> 8)) % 256));

const seenInPieces = (body: Buffer, contentType: string) => {
  const seen = watch(body, { contentType });
  expect(watch(body, { contentType, sizes: [1, 3, 1000] })).toEqual(seen);
  return seen;
};

describe('a body from the FormData of browsers and Node', () => {
  test.each(['a.png', '图片.png', 'a"b\r\nc.png', 'a\\b.png', 'name="file"; x'])(
    'is counted with the file name %j',
    async (name) => {
      const form = new FormData();
      form.append('file', new Blob([PICTURE], { type: 'image/png' }), name);
      form.append('thumbnail-width', '170');
      const response = new Response(form);
      const body = Buffer.from(await response.arrayBuffer());
      const seen = seenInPieces(body, response.headers.get('content-type') ?? '');
      expect(seen).toMatchObject({ verdict: 'allowed', fileBytes: PICTURE.length });
      expect(seen.fileHead).toBe(PICTURE.toString('latin1', 0, 4096));
    },
  );

  test('is refused without its file', async () => {
    const form = new FormData();
    form.append('other', new Blob([PICTURE]), 'file');
    const response = new Response(form);
    const body = Buffer.from(await response.arrayBuffer());
    expect(seenInPieces(body, response.headers.get('content-type') ?? '').verdict).toBe('FILE_MISSING');
  });
});

describe('a body from curl', () => {
  let folder: string;
  let curl: (...args: string[]) => Promise<{ body: Buffer; contentType: string }>;
  const server = createServer();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'multipart-clients-'));
    await writeFile(join(folder, 'x.png'), PICTURE);
    await writeFile(join(folder, 'a"b;c.png'), PICTURE);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    curl = async (...args) => {
      const received = new Promise<{ body: Buffer; contentType: string }>((resolve, reject) => {
        server.once('request', (req, res) => {
          buffer(req).then((body) => {
            res.end();
            return resolve({ body, contentType: req.headers['content-type'] ?? '' });
          }, reject);
        });
      });
      await promisify(execFile)('curl', ['-sS', '-q', ...args, `http://127.0.0.1:${port}/`], { cwd: folder });
      return received;
    };
  });

  afterAll(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });

  test('is counted', async () => {
    const { body, contentType } = await curl('-F', 'file=@x.png', '-F', 'thumbnail-width=170');
    expect(seenInPieces(body, contentType)).toMatchObject({ verdict: 'allowed', fileBytes: PICTURE.length });
  });

  test('is counted with quotes and a semicolon in the file name', async () => {
    const { body, contentType } = await curl('-F', 'file=@"a\\"b;c.png"');
    expect(seenInPieces(body, contentType)).toMatchObject({ verdict: 'allowed', fileBytes: PICTURE.length });
  });

  test('is counted when the file is a text part without a file name', async () => {
    const { body, contentType } = await curl('-F', 'file="@x.png"');
    expect(seenInPieces(body, contentType)).toMatchObject({ verdict: 'allowed', fileHead: '@x.png' });
  });

  // As in the sample of the REST documentation: curl puts the boundary it uses behind the one that was set by hand.
  test.each(['----WebKitFormBoundary', '----WebKitFormBoundary7MA4YWxkTrZu0gW', '---', '-----'])(
    'is counted with the boundary %s set by hand before the real one',
    async (boundary) => {
      const header = `Content-Type: multipart/form-data; boundary=${boundary}`;
      const { body, contentType } = await curl('-H', header, '-F', 'file=@x.png');
      expect(contentType.match(/boundary=/g)).toHaveLength(2);
      expect(seenInPieces(body, contentType)).toMatchObject({ verdict: 'allowed', fileBytes: PICTURE.length });
    },
  );

  test('is refused with a type set by hand and no form', async () => {
    const { body, contentType } = await curl('-H', 'Content-Type: image/png', '--data-binary', '@x.png');
    expect(seenInPieces(body, contentType).verdict).toBe('MEDIA_UNSUPPORTED');
  });
});

const field = (name: string, value: string): string =>
  `--*****\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;

// Written by hand, part by part, with a fixed boundary and three parts before the file.
test('a body from an old Android client is counted', () => {
  const body = Buffer.concat([
    Buffer.from(field('app', 'org#app') + field('id', 'user') + field('path', '/storage/a.jpg')),
    Buffer.from('--*****\r\nContent-Disposition: form-data; name="file";filename="/storage/a.jpg"\r\n'),
    Buffer.from('Content-Type: image/jpeg\r\n\r\n'),
    PICTURE,
    Buffer.from('\r\n--*****--\r\n'),
  ]);
  const seen = seenInPieces(body, 'multipart/form-data; charset=utf-8; boundary=*****');
  expect(seen).toMatchObject({ verdict: 'allowed', fileBytes: PICTURE.length });
});
