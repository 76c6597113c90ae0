import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { APP, bearer, CHATFILES, fileOf, formOf, ORG, type Uploaded, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';

const sha256 = (bytes: ArrayBuffer | Uint8Array) => createHash('sha256').update(new Uint8Array(bytes)).digest('hex');

describe('a picture', () => {
  it('goes up and comes down through the gateway, whole and as a thumbnail', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    const picture = new Uint8Array(
      await sharp({
        create: {
          width: 900,
          height: 600,
          channels: 3,
          background: '#fff',
          noise: { type: 'gaussian', mean: 128, sigma: 40 },
        },
      })
        .jpeg()
        .toBuffer(),
    );
    const { uuid, secret } = await uploadTo(gateway.url, token, picture, { 'restrict-access': 'true' });
    const headers = bearer(token, { 'share-secret': secret ?? '', accept: 'application/octet-stream' });

    const whole = await fetch(`${gateway.url}${CHATFILES}/${uuid}`, { headers });
    expect(whole.status).toBe(200);
    expect(whole.headers.get('content-length')).toBe(String(picture.length));
    expect(sha256(await whole.arrayBuffer())).toBe(sha256(picture));

    const small = await fetch(`${gateway.url}${CHATFILES}/${uuid}`, { headers: { ...headers, thumbnail: 'true' } });
    const { width, height } = await sharp(Buffer.from(await small.arrayBuffer())).metadata();
    expect([width, height]).toEqual([170, 113]);
  });

  it('is answered with the very body that Easemob gave', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    const response = await fetch(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(token),
      body: formOf('x'),
    });
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    const body = (await response.json()) as Uploaded;
    expect(body).toMatchObject({ action: 'post', path: '/chatfiles', organization: ORG, applicationName: APP });
    expect(Object.keys(body.entities[0])).toEqual(['uuid', 'type']);
  });

  it('that is restricted is for holders of its secret alone, by header or in the query', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    const { uuid, secret = '' } = await uploadTo(gateway.url, token, 'private', { 'restrict-access': 'false' });
    const get = (query: string, more: Record<string, string> = {}) =>
      fetch(`${gateway.url}${CHATFILES}/${uuid}${query}`, { headers: bearer(token, more) });
    expect((await get('')).status).toBe(403);
    expect((await get('', { 'share-secret': 'wrong' })).status).toBe(403);
    expect((await get('', { 'share-secret': secret })).status).toBe(200);
    expect((await get(`?share-secret=${secret}`)).status).toBe(200);
    expect((await get(`?share-secret=${secret}`, { 'share-secret': secret })).status).toBe(200);
    expect((await get(`?share-secret=${secret}`, { 'share-secret': 'other' })).status).toBe(400);
  });

  it('can be asked about with HEAD, which sends everything but the body', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(gateway.url, token, fileOf(100_000));
    const head = await fetch(`${gateway.url}${CHATFILES}/${uuid}`, { method: 'HEAD', headers: bearer(token) });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '100000']);
    expect(emulator.received().at(-1)?.method).toBe('GET');
  });

  it('can be asked for in ranges and by its validators', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(gateway.url, token, '0123456789');
    const get = (more: Record<string, string>) =>
      fetch(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token, more) });
    const part = await get({ range: 'bytes=2-4' });
    expect([part.status, await part.text(), part.headers.get('content-range')]).toEqual([206, '234', 'bytes 2-4/10']);
    const etag = (await get({})).headers.get('etag') ?? '';
    const unchanged = await get({ 'if-none-match': etag });
    expect([unchanged.status, await unchanged.text()]).toEqual([304, '']);
  });
});

describe('two hundred clients at once', () => {
  it('get back, byte for byte, what they uploaded', { timeout: 60_000 }, async () => {
    const { gateway, emulator } = await startGateway({
      set: ['quota.perSecond=500'],
      emulator: { limiter: { algorithm: 'off' } },
    });
    const token = emulator.issueToken(ORG, APP);
    const files = Array.from({ length: 200 }, (_, i) => fileOf(1 + ((i * 7919) % 300_000)));
    const back = await Promise.all(
      files.map(async (bytes) => {
        const { uuid } = await uploadTo(gateway.url, token, bytes);
        const response = await fetch(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) });
        return sha256(await response.arrayBuffer());
      }),
    );
    expect(back).toEqual(files.map(sha256));
  });

  it(
    'never see the throttling of thirty a second, and neither does Easemob see an excess',
    { timeout: 60_000 },
    async () => {
      const { gateway, emulator } = await startGateway();
      const token = emulator.issueToken(ORG, APP);
      const answers = await Promise.all(
        Array.from({ length: 75 }, (_, i) =>
          fetch(`${gateway.url}${CHATFILES}`, {
            method: 'POST',
            headers: bearer(token),
            body: formOf(`file ${i}`),
          }).then((r) => r.status),
        ),
      );
      expect(answers.filter((status) => status !== 200)).toEqual([]);
      expect(emulator.stats().storedFiles).toBe(75);
    },
  );
});
