import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { bytesOf, filesIn, scratch, startCloud } from './kit.ts';
import type { Cloud } from './kit.ts';

const picture = await readFile(new URL('../../samples/picture.jpg', import.meta.url));
const asked = { thumbnail: 'true' };

/** Noise does not compress, so that the image is larger than the floor whatever its format. */
const noise = (width: number, height: number) =>
  sharp({
    create: { width, height, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma: 40 } },
  });

const sizeOf = async (response: Response) => {
  const { width, height, format } = await sharp(await bytesOf(response)).metadata();
  return { width, height, format };
};

test('the sample picture gets a thumbnail within 170 x 170 that keeps its proportions', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(picture, { type: 'image/jpeg' });
  const answer = await cloud.get(uuid, asked);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe('image/jpeg');
  expect(Number(answer.headers.get('content-length'))).toBeLessThan(20_000);
  expect(await sizeOf(answer)).toEqual({ width: 170, height: 128, format: 'jpeg' });
  expect((await bytesOf(await cloud.get(uuid))).equals(picture)).toBe(true);
});

test.each(['jpeg', 'png', 'webp', 'gif'] as const)('a %s is made smaller in its own format', async (format) => {
  await using cloud = await startCloud();
  const image = await noise(300, 600).toFormat(format).toBuffer();
  const { uuid } = await cloud.store(Buffer.from(image), { type: 'application/octet-stream' });
  const answer = await cloud.get(uuid, asked);
  expect(answer.headers.get('content-type')).toBe(`image/${format}`);
  expect(await sizeOf(answer)).toEqual({ width: 85, height: 170, format });
});

test('a photograph that was taken on its side is upright as a thumbnail', async () => {
  await using cloud = await startCloud();
  const image = await noise(600, 300).jpeg().withMetadata({ orientation: 6 }).toBuffer();
  const { uuid } = await cloud.store(Buffer.from(image));
  expect(await sizeOf(await cloud.get(uuid, asked))).toMatchObject({ width: 85, height: 170 });
});

describe('the box', () => {
  test.each([
    ['by headers', { headers: { 'thumbnail-width': '80', 'thumbnail-height': '400' } }, 80, 60],
    ['by form fields behind the file', { after: { 'thumbnail-width': '400', 'thumbnail-height': '90' } }, 120, 90],
    ['in one side only', { headers: { 'thumbnail-height': '60' } }, 80, 60],
    ['to nonsense, which is ignored', { headers: { 'thumbnail-width': '-4', 'thumbnail-height': 'x' } }, 170, 128],
    [
      'beyond the original, which is not made larger',
      { headers: { 'thumbnail-width': '9999', 'thumbnail-height': '9999' } },
      1600,
      1200,
    ],
  ])('can be changed %s', async (_how, options, width, height) => {
    await using cloud = await startCloud();
    const { uuid } = await cloud.store(picture, options);
    expect(await sizeOf(await cloud.get(uuid, asked))).toMatchObject({ width, height });
  });

  test('has another usual size by an option', async () => {
    await using cloud = await startCloud({ thumbnailBox: { width: 50, height: 50 } });
    const { uuid } = await cloud.store(picture);
    expect(await sizeOf(await cloud.get(uuid, asked))).toMatchObject({ width: 50, height: 38 });
  });
});

describe('the original is sent', () => {
  const get = async (cloud: Cloud, bytes: Buffer<ArrayBuffer>, type: string) => {
    const { uuid } = await cloud.store(bytes, { type });
    const answer = await cloud.get(uuid, asked);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe(type);
    return (await bytesOf(answer)).equals(bytes);
  };

  test('of an image of at most 10 KB', async () => {
    await using cloud = await startCloud();
    const small = Buffer.from(await noise(50, 50).jpeg().toBuffer());
    expect(small.length).toBeLessThan(10_240);
    expect(await get(cloud, small, 'image/jpeg')).toBe(true);
  });

  test('of an image that is damaged or cut short', async () => {
    await using cloud = await startCloud();
    expect(await get(cloud, Buffer.from(picture.subarray(0, 50_000)), 'image/jpeg')).toBe(true);
    expect(await get(cloud, Buffer.alloc(50_000, 'GIF89a'), 'image/gif')).toBe(true);
  });

  test('of anything that is no image, drawings included', async () => {
    await using cloud = await startCloud();
    expect(await get(cloud, Buffer.alloc(50_000, 1), 'video/mp4')).toBe(true);
    const drawing = Buffer.from(
      `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">${' '.repeat(20_000)}</svg>`,
    );
    expect(await get(cloud, drawing, 'image/svg+xml')).toBe(true);
  });

  test.each([
    ['presence', { thumbnail: 'false' }, '', true],
    ['presence', { thumbnail: '' }, '', true],
    ['presence', {}, '', false],
    ['presence', {}, '?thumbnail=true', true],
    ['presence', {}, '?thumbnail=false', false],
    ['value', { thumbnail: 'true' }, '', true],
    ['value', { thumbnail: 'false' }, '', false],
    ['value', { thumbnail: '' }, '', false],
    ['value', {}, '?thumbnail=true', true],
  ] as const)('or the thumbnail: by %s, with %j and %j: %j', async (thumbnailBy, headers, query, small) => {
    await using cloud = await startCloud({ thumbnailBy });
    const { uuid } = await cloud.store(picture);
    const answer = await cloud.get(uuid, headers, query);
    expect((await bytesOf(answer)).length < picture.length).toBe(small);
    expect(cloud.received().at(-1)?.interface).toBe(small ? 'thumbnail' : 'download');
  });
});

test('a thumbnail has its own tag, ranges and conditions', async () => {
  await using cloud = await startCloud();
  const { uuid } = await cloud.store(picture);
  const thumbnail = await cloud.get(uuid, asked);
  const etag = thumbnail.headers.get('etag') ?? '';
  expect(etag).not.toBe((await cloud.get(uuid)).headers.get('etag'));
  expect((await cloud.get(uuid, { ...asked, 'if-none-match': etag })).status).toBe(304);
  const part = await cloud.get(uuid, { ...asked, range: 'bytes=10-19' });
  expect((await bytesOf(part)).equals((await bytesOf(thumbnail)).subarray(10, 20))).toBe(true);
});

test('it is made once, however many ask at the same time, and goes with its file', async () => {
  await using folder = await scratch();
  await using cloud = await startCloud({ storage: { dir: folder.path } });
  const stored = await Promise.all(Array.from({ length: 5 }, () => cloud.store(picture)));
  const answers = await Promise.all([...stored, ...stored, ...stored].map(({ uuid }) => cloud.get(uuid, asked)));
  const tags = new Set(answers.map(({ headers }) => headers.get('etag')));
  const sizes = new Set(answers.map(({ headers }) => headers.get('content-length')));
  expect([tags.size, sizes.size]).toEqual([5, 1]);
  expect((await filesIn(folder.path)).filter((name) => name.endsWith('.thumbnail'))).toHaveLength(5);
  const [size] = sizes;
  expect(cloud.stats().storedBytes).toBe(5 * (picture.length + Number(size)));
  for (const { uuid } of stored) cloud.forgetFile(uuid);
  expect(cloud.stats().storedBytes).toBe(0);
});
