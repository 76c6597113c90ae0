import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ask } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { type RunOptions, startGateway } from '../kit/gateway.ts';

const PICTURE = new Uint8Array(await readFile(new URL('../../samples/picture.jpg', import.meta.url)));
const MISS = 'chatfiles-gateway; fwd=uri-miss; fwd-status=200; stored';
const HIT = 'chatfiles-gateway; hit; detail=memory';
const ASKED = 'chatfiles-gateway; fwd=request; fwd-status=304';
const PAST = 'chatfiles-gateway; fwd=bypass';

/** A gateway, a restricted picture that was uploaded past it, and a user who asks for it by its address alone. */
async function start(options: RunOptions = {}) {
  const running = await startGateway(options);
  const { gateway, emulator } = running;
  const tokenOf = (username: string) => emulator.issueToken(ORG, APP, { username, layout: 'long' });
  const ann = bearer(tokenOf('ann'));
  const { uuid, secret = '' } = await uploadTo(emulator.url, tokenOf('owner'), PICTURE, { 'restrict-access': 'true' });
  const get = async (query: string, headers: Record<string, string> = ann) => {
    const reply = await ask(`${gateway.url}${CHATFILES}/${uuid}${query}`, { headers });
    return { ...reply, cache: reply.headers['cache-status'] };
  };
  const downloads = () => emulator.received().filter(({ method }) => method === 'GET');
  return { ...running, uuid, secret, ann, get, tokenOf, downloads };
}

describe('a question in the address', () => {
  it('is the same as one in the headers: one secret, one form, one entry', async () => {
    const { get, secret, ann, downloads } = await start();
    const first = await get(`?em-redirect=true&share-secret=${secret}&thumbnail=true`, ann);
    expect([first.status, first.cache]).toEqual([200, MISS]);
    const inHeaders = await get('', { ...ann, 'share-secret': secret, thumbnail: 'true' });
    expect([inHeaders.status, inHeaders.cache]).toEqual([200, HIT]);
    expect(inHeaders.body.equals(first.body)).toBe(true);
    for (const query of [
      `?share-secret=${secret}&thumbnail=true`,
      `?thumbnail=true&share-secret=${encodeURIComponent(secret)}`,
    ]) {
      expect((await get(query, ann)).cache).toBe(HIT);
    }
    expect((await get(`?share-secret=${secret}`, { ...ann, thumbnail: 'true' })).cache).toBe(HIT);
    expect((await get('?thumbnail=true', { ...ann, 'share-secret': secret })).cache).toBe(HIT);
    expect(downloads()).toHaveLength(1);
  });

  it('goes upstream with the secret and the thumbnail in headers, and the rest as it came', async () => {
    const { get, secret, uuid, downloads } = await start();
    expect((await get(`?b=%2B+;1&share-secret=${secret}&&a&thumbnail=true&em-redirect=true&c=x%20y`)).status).toBe(200);
    expect((await get(`?vframe=true&share-secret=${secret}`)).status).toBe(200);
    expect(downloads().map(({ path }) => path)).toEqual([
      `${CHATFILES}/${uuid}?b=%2B+;1&&a&c=x%20y`,
      `${CHATFILES}/${uuid}?vframe=true`,
    ]);
    const [sent] = downloads();
    const headers = Object.fromEntries(sent?.headers ?? []);
    expect(headers).toMatchObject({ 'share-secret': secret, thumbnail: 'true' });
  });

  it('with the wrong secret gets nothing that is kept', async () => {
    const { get, secret, ann, tokenOf } = await start();
    expect((await get(`?share-secret=${secret}&thumbnail=true`, ann)).status).toBe(200);
    for (const query of ['?thumbnail=true', '?thumbnail=true&share-secret=', '?thumbnail=true&share-secret=wrong'])
      expect((await get(query, ann)).status).toBe(403);
    expect((await get(`?share-secret=wrong&thumbnail=true`, { ...ann, 'share-secret': secret })).status).toBe(400);
    const bob = bearer(tokenOf('bob'));
    expect((await get(`?share-secret=${secret}&thumbnail=true`, bob)).cache).toBe(ASKED);
  });

  it('that is spelled in another way goes past the cache, as it is', async () => {
    const { get, secret, uuid, downloads } = await start();
    expect((await get(`?share-secret=${secret}&thumbnail=true`)).cache).toBe(MISS);
    for (const query of [`?share%2Dsecret=${secret}&thumbnail=true`, `?share-secret=${secret}&thumbnail=tru%65`]) {
      const reply = await get(query);
      expect([reply.status, reply.cache]).toEqual([200, PAST]);
    }
    expect(
      downloads()
        .slice(1)
        .map(({ path }) => path),
    ).toEqual([`${CHATFILES}/${uuid}?share%2Dsecret=${secret}`, `${CHATFILES}/${uuid}?thumbnail=tru%65`]);
  });

  it('with a secret that not everybody reads in it teaches nothing of that secret', async () => {
    const { get, secret, ann, gateway, emulator, tokenOf } = await start();
    // The emulator, like the cloud, gives an open file to whatever secret: one that was read wrong would be learnt.
    const { uuid } = await uploadTo(emulator.url, tokenOf('owner'), PICTURE);
    const open = (query: string) => ask(`${gateway.url}${CHATFILES}/${uuid}${query}`, { headers: ann });
    expect((await open('?SHARE-SECRET=made-up&thumbnail=true')).status).toBe(200);
    const kept = await open('?share-secret=made-up&thumbnail=true');
    expect(kept.headers['cache-status']).toBe(MISS);
    expect((await get(`?SHARE-SECRET=${secret}&thumbnail=true`, ann)).status).toBe(403);
  });

  it('is answered on the short way, before Express, like one in headers', async () => {
    const { get, secret } = await start();
    const query = `?em-redirect=true&share-secret=${secret}&thumbnail=true`;
    const isShort = ({ rawHeaders }: { rawHeaders: string[] }) =>
      rawHeaders.indexOf('X-Request-Id') > rawHeaders.indexOf('Cache-Status');
    expect(isShort(await get(query))).toBe(false);
    const hit = await get(query);
    expect([hit.cache, isShort(hit)]).toEqual([HIT, true]);
    for (const other of [`${query}&x=1`, `${query}&&`, `${query};`, `${query}&${'a'.repeat(2000)}`])
      expect([other, isShort(await get(other))]).toEqual([other, false]);
  });
});
