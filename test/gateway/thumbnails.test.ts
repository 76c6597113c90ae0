import { readFile } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { type RunOptions, startGateway } from '../kit/gateway.ts';

const PICTURE = new Uint8Array(await readFile(new URL('../../samples/picture.jpg', import.meta.url)));

/** A gateway, a picture that was uploaded past it, and users who ask for its thumbnail. */
async function start({ restricted = false, ...options }: RunOptions & { restricted?: boolean } = {}) {
  const running = await startGateway(options);
  const { gateway, emulator } = running;
  const tokenOf = (username: string) => emulator.issueToken(ORG, APP, { username, layout: 'long' });
  const owner = tokenOf('owner');
  const file = await uploadTo(emulator.url, owner, PICTURE, restricted ? { 'restrict-access': 'true' } : {});
  const ask = async (token: string, headers: Record<string, string> = {}, init: RequestInit = {}) => {
    const secret = file.secret === undefined ? {} : { 'share-secret': file.secret };
    const response = await fetch(`${gateway.url}${CHATFILES}/${file.uuid}`, {
      headers: bearer(token, { thumbnail: 'true', ...secret, ...headers }),
      ...init,
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    return { status: response.status, bytes, cache: response.headers.get('cache-status'), headers: response.headers };
  };
  const downloads = () => emulator.received().filter(({ method }) => method === 'GET');
  return { ...running, file, ask, tokenOf, downloads };
}

describe('a thumbnail', () => {
  it('is fetched once, and then answered from memory to whoever Easemob has lately accepted', async () => {
    const { ask, tokenOf, downloads, summaries } = await start();
    const [ann, bob] = [tokenOf('ann'), tokenOf('bob')];
    const first = await ask(ann);
    expect([first.status, first.cache]).toEqual([200, 'chatfiles-gateway; fwd=uri-miss; fwd-status=200; stored']);
    const second = await ask(ann);
    expect([second.status, second.cache]).toEqual([200, 'chatfiles-gateway; hit; detail=memory']);
    expect(second.bytes.equals(first.bytes)).toBe(true);
    expect(downloads()).toHaveLength(1);
    const asked = await ask(bob);
    expect([asked.status, asked.cache]).toEqual([200, 'chatfiles-gateway; fwd=request; fwd-status=304']);
    expect((await ask(bob)).cache).toBe('chatfiles-gateway; hit; detail=memory');
    expect(downloads()).toHaveLength(2);
    expect(summaries.at(-1)?.cache).toBe('chatfiles-gateway; hit; detail=memory');
  });

  it('of a restricted file goes to nobody without its secret', async () => {
    const { ask, tokenOf } = await start({ restricted: true });
    const [ann, bob] = [tokenOf('ann'), tokenOf('bob')];
    expect((await ask(ann)).status).toBe(200);
    expect((await ask(ann)).cache).toBe('chatfiles-gateway; hit; detail=memory');
    for (const secret of ['', 'wrong']) expect((await ask(ann, { 'share-secret': secret })).status).toBe(403);
    expect((await ask(bob)).cache).toBe('chatfiles-gateway; fwd=request; fwd-status=304');
    expect((await ask(bob)).cache).toBe('chatfiles-gateway; hit; detail=memory');
  });

  it('is given in parts, on conditions and by its head, from what is kept', async () => {
    const { ask, tokenOf, downloads } = await start();
    const ann = tokenOf('ann');
    const whole = await ask(ann);
    const etag = whole.headers.get('etag') ?? '';
    const part = await ask(ann, { range: 'bytes=2-5' });
    expect([part.status, part.bytes.toString('hex')]).toEqual([206, whole.bytes.subarray(2, 6).toString('hex')]);
    expect(part.headers.get('content-range')).toBe(`bytes 2-5/${whole.bytes.length}`);
    expect((await ask(ann, { range: 'bytes=2-5', 'if-range': '"other"' })).status).toBe(200);
    expect((await ask(ann, { range: 'bytes=99999999-' })).status).toBe(416);
    expect((await ask(ann, { range: 'bytes=0-1,4-5' })).status).toBe(200);
    const same = await ask(ann, { 'if-none-match': etag });
    expect([same.status, same.bytes.length, same.headers.get('etag')]).toEqual([304, 0, etag]);
    const head = await ask(ann, {}, { method: 'HEAD', headers: bearer(ann, { thumbnail: 'true' }) });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(whole.bytes.length)]);
    expect(whole.headers.get('cache-control')).toBe('private');
    expect(downloads()).toHaveLength(1);
  });

  it('that a hundred ask for at once is fetched once', async () => {
    const { ask, tokenOf, downloads, file, gateway, emulator } = await start();
    const ann = tokenOf('ann');
    // Known to be open, and its asker believed: by another file.
    const other = await uploadTo(gateway.url, ann, PICTURE);
    await fetch(`${gateway.url}${CHATFILES}/${other.uuid}`, { headers: bearer(ann, { thumbnail: 'true' }) });
    expect(downloads()).toHaveLength(1);
    emulator.fault({ kind: 'latency', ms: 100, times: 1 });
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(ann)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(downloads().filter(({ path }) => path.includes(file.uuid))).toHaveLength(1);
    // On a busy machine some come when it is there already.
    const spared = /^chatfiles-gateway; (?:fwd=uri-miss; collapsed|hit; detail=memory)$/;
    expect(answers.filter(({ cache }) => spared.test(cache ?? ''))).toHaveLength(99);
  });

  it('of a picture that went up through us is there before anybody asks, where that is switched on', async () => {
    const operator = 'operator-of-this-test';
    const { gateway, tokenOf, downloads } = await start({
      set: ['cache.warmOnUpload=true', `admin.token=${operator}`],
    });
    const keptEntries = async () => {
      const answer = await fetch(`${gateway.adminUrl}/cache`, { headers: bearer(operator) });
      return ((await answer.json()) as { cache: { memory: { entries: number } } }).cache.memory.entries;
    };
    const ann = tokenOf('ann');
    const { uuid, secret = '' } = await uploadTo(gateway.url, ann, PICTURE, { 'restrict-access': 'true' });
    await vi.waitFor(async () => expect(await keptEntries()).toBe(1));
    const ask = (token: string) =>
      fetch(`${gateway.url}${CHATFILES}/${uuid}`, {
        headers: bearer(token, { thumbnail: 'true', 'share-secret': secret }),
      });
    expect((await ask(ann)).headers.get('cache-status')).toBe('chatfiles-gateway; hit; detail=memory');
    expect(downloads().filter(({ path }) => path.includes(uuid))).toHaveLength(1);
    // No other bearer has a right from that.
    expect((await ask(tokenOf('bob'))).headers.get('cache-status')).toBe(
      'chatfiles-gateway; fwd=request; fwd-status=304',
    );
  });

  it('is not fetched ahead while others need the quota, nor of what is no picture', async () => {
    const { gateway, emulator, tokenOf, downloads } = await start({
      set: ['cache.warmOnUpload=true', 'quota.perSecond=4'],
    });
    const ann = tokenOf('ann');
    const text = await uploadTo(gateway.url, ann, 'no picture');
    const uploads = await Promise.all(Array.from({ length: 8 }, () => uploadTo(gateway.url, ann, PICTURE)));
    expect(emulator.received().filter(({ method, status }) => method === 'POST' && status === 200)).toHaveLength(
      1 + 1 + 8,
    );
    expect(downloads()).toEqual([]);
    await vi.waitFor(() => expect(downloads().length).toBeGreaterThan(1), { timeout: 10_000 });
    expect(downloads().some(({ path }) => path.includes(text.uuid))).toBe(false);
    expect(uploads).toHaveLength(8);
  });

  it('waits in the line of whoever is served sooner, not behind all that its first asker waits for', async () => {
    const { gateway, emulator, file, tokenOf, ask } = await start({ set: ['quota.perSecond=5', 'quota.fairBy=token'] });
    const [hog, ann] = [tokenOf('hog'), tokenOf('ann')];
    const others = await Promise.all(Array.from({ length: 25 }, () => uploadTo(emulator.url, hog, PICTURE)));
    // Both are believed, by a file of their own.
    for (const [i, token] of [hog, ann].entries()) {
      await fetch(`${gateway.url}${CHATFILES}/${others[i]?.uuid}`, { headers: bearer(token, { thumbnail: 'true' }) });
    }
    const order: string[] = [];
    const queued = others.map(async ({ uuid }) => {
      await fetch(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(hog) });
      order.push('hog');
    });
    const hogs = ask(hog);
    await vi.waitFor(() => expect(order.length).toBeGreaterThan(3), { timeout: 5000 });
    expect((await ask(ann)).status).toBe(200);
    const before = order.length;
    await Promise.all([...queued, hogs]);
    expect(before).toBeLessThan(15);
    expect(file.uuid).toBeTruthy();
  });
});
