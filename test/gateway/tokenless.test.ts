import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import type { EmulatorInput } from '../../src/emulator/emulator.ts';
import { ask } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { createShiftClock } from '../kit/shift-clock.ts';

const PICTURE = new Uint8Array(await readFile(new URL('../../samples/picture.jpg', import.meta.url)));
const PROFILE = fileURLToPath(new URL('../../config/web-sdk.yaml', import.meta.url));
const { config: profile } = await loadConfig({ file: PROFILE, env: {}, emulator: true });
const LET_IN = [`tokens.anonymousDownloads=${profile.tokens.anonymousDownloads}`];
const MISS = 'chatfiles-gateway; fwd=uri-miss; fwd-status=200; stored';
const HIT = 'chatfiles-gateway; hit; detail=memory';
const ASKED = 'chatfiles-gateway; fwd=request; fwd-status=304';

type Options = { set?: string[]; emulator?: EmulatorInput };

/** A gateway that lets tags in, and a picture, restricted or open, that was uploaded past it. */
async function start({ set = LET_IN, emulator: input = { anonymousDownloads: 'withSecret' } }: Options = {}) {
  const clock = createShiftClock();
  const running = await startGateway({ set, emulator: input, clock });
  const { gateway, emulator } = running;
  const tokenOf = (username: string) => emulator.issueToken(ORG, APP, { username, layout: 'long' });
  const owner = tokenOf('owner');
  const ann = bearer(tokenOf('ann'));
  const restricted = await uploadTo(emulator.url, owner, PICTURE, { 'restrict-access': 'true' });
  const open = await uploadTo(emulator.url, owner, PICTURE);
  const { uuid, secret = '' } = restricted;
  const fetchFile = async (file: string, query: string, headers: Record<string, string> = {}, method = 'GET') => {
    const reply = await ask(`${gateway.url}${CHATFILES}/${file}${query}`, { headers, method });
    return { ...reply, cache: reply.headers['cache-status'] };
  };
  /** As an `<img>` asks, in Chromium. */
  const tag = (given = secret, more = '&thumbnail=true', file = uuid) =>
    fetchFile(file, `?em-redirect=true&share-secret=${given}${more}`);
  const downloads = () => emulator.received().filter(({ method }) => method === 'GET');
  return { ...running, clock, uuid, secret, open: open.uuid, ann, tokenOf, fetchFile, tag, downloads };
}

describe('a download without a token', () => {
  it('is refused, and costs nothing, unless the operator lets it in', async () => {
    const { tag, downloads } = await start({ set: [] });
    const reply = await tag();
    expect([reply.status, JSON.parse(reply.body.toString())]).toMatchObject([401, { error: 'unauthorized' }]);
    expect(downloads()).toEqual([]);
  });

  it('goes to Easemob without a token, and Easemob decides', async () => {
    const { tag, downloads, fetchFile, uuid, secret } = await start();
    const reply = await tag();
    expect([reply.status, reply.cache]).toEqual([200, MISS]);
    const [sent] = downloads();
    const names = sent?.headers.map(([name]) => name.toLowerCase());
    expect(names).not.toContain('authorization');
    expect(sent?.path).toBe(`${CHATFILES}/${uuid}?share-secret=${secret}`);
    expect((await tag('wrong')).status).toBe(403);
    expect((await fetchFile(uuid, `?share-secret=${secret}`)).body.equals(PICTURE)).toBe(true);
    const head = await fetchFile(uuid, `?share-secret=${secret}`, {}, 'HEAD');
    expect([head.status, head.headers['content-length']]).toEqual([200, String(PICTURE.length)]);
    const part = await fetchFile(uuid, `?share-secret=${secret}`, { range: 'bytes=0-3' });
    expect([part.status, part.body.length]).toEqual([206, 4]);
  });

  it.each<[string, (secret: string) => [query: string, headers?: Record<string, string>, method?: string]]>([
    ['has no secret', () => ['?thumbnail=true']],
    ['has an empty one', () => ['?share-secret=&thumbnail=true']],
    ['has it in the header alone', (secret) => ['', { 'share-secret': secret, thumbnail: 'true' }]],
    ['has an Authorization without a token', (secret) => [`?share-secret=${secret}`, { authorization: '' }]],
    ['has another kind of Authorization', (secret) => [`?share-secret=${secret}`, { authorization: 'Basic eDp5' }]],
    ['is none', (secret) => [`?share-secret=${secret}`, { 'content-length': '0' }, 'POST']],
  ])('is refused as ever if it %s', async (_case, question) => {
    const { fetchFile, uuid, secret, tag, downloads } = await start();
    expect((await tag()).status).toBe(200);
    const [query, headers, method] = question(secret);
    expect((await fetchFile(uuid, query, headers, method)).status).toBe(method === 'POST' ? 405 : 401);
    expect(downloads()).toHaveLength(1);
  });

  it('is answered from what is kept to whoever brings the same secret, for one window', async () => {
    const { tag, downloads, clock } = await start();
    expect((await tag()).cache).toBe(MISS);
    for (let i = 0; i < 3; i += 1) expect((await tag()).cache).toBe(HIT);
    expect(downloads()).toHaveLength(1);
    await clock.advance(299_000);
    expect((await tag()).cache).toBe(HIT);
    await clock.advance(1_001);
    expect((await tag()).cache).toBe(ASKED);
    expect((await tag()).cache).toBe(HIT);
  });

  it('has no right from what tokens have shown: neither a secret that was accepted, nor a file that is open', async () => {
    const { tag, fetchFile, ann, uuid, secret, open, downloads } = await start();
    expect((await fetchFile(uuid, `?share-secret=${secret}&thumbnail=true`, ann)).cache).toBe(MISS);
    expect((await fetchFile(open, '?thumbnail=true', ann)).cache).toBe(MISS);
    expect((await fetchFile(open, '?thumbnail=true', ann)).cache).toBe(HIT);
    // What is kept is confirmed by Easemob to this very question.
    expect((await tag()).cache).toBe(ASKED);
    expect((await tag('made-up', '&thumbnail=true', open)).status).toBe(401);
    expect(downloads()).toHaveLength(4);
  });

  it('gives no right to those with a token, who ask for themselves', async () => {
    const { tag, fetchFile, ann, tokenOf, uuid, secret } = await start();
    expect((await tag()).cache).toBe(MISS);
    expect((await fetchFile(uuid, `?share-secret=${secret}&thumbnail=true`, ann)).cache).toBe(ASKED);
    const bob = bearer(tokenOf('bob'));
    expect((await fetchFile(uuid, '?thumbnail=true', bob)).status).toBe(403);
    expect((await fetchFile(uuid, '?thumbnail=true&share-secret=wrong', bob)).status).toBe(403);
  });

  it('that Easemob refuses takes nothing from anybody else, whatever the refusal says', async () => {
    const { tag, fetchFile, ann, open, emulator } = await start();
    expect((await fetchFile(open, '?thumbnail=true', ann)).cache).toBe(MISS);
    for (const [status, error] of [
      [404, 'entity_not_found'],
      [403, 'forbidden'],
      [401, 'unauthorized'],
    ] as const) {
      emulator.fault({
        kind: 'status',
        status,
        body: { error, error_description: 'Unable to authenticate' },
        times: 1,
      });
      expect((await tag(`made-up-${status}`, '&thumbnail=true', open)).status).toBe(status);
      expect((await fetchFile(open, '?thumbnail=true', ann)).cache).toBe(HIT);
    }
  });

  it('that Easemob refuses now was let in before', async () => {
    const { tag, emulator, clock } = await start();
    expect((await tag()).cache).toBe(MISS);
    await clock.advance(300_001);
    const body = { error: 'unauthorized', error_description: 'Unable to authenticate (OAuth)' };
    emulator.fault({ kind: 'status', status: 401, body, times: 1 });
    expect((await tag()).status).toBe(401);
    // Repeated for a moment, at no cost; then asked again.
    expect((await tag()).status).toBe(401);
    await clock.advance(5_000);
    expect((await tag()).cache).toBe(ASKED);
  });

  it('has no grace while Easemob is away', async () => {
    const { tag, emulator, clock, fetchFile, ann, uuid, secret } = await start({
      set: [...LET_IN, 'access.graceSeconds=600', 'retry.attempts=1'],
    });
    expect((await tag()).cache).toBe(MISS);
    expect((await fetchFile(uuid, `?share-secret=${secret}&thumbnail=true`, ann)).cache).toBe(ASKED);
    await clock.advance(301_000);
    emulator.fault({ kind: 'status', status: 502 });
    const held = await fetchFile(uuid, `?share-secret=${secret}&thumbnail=true`, ann);
    expect([held.status, held.cache]).toEqual([200, 'chatfiles-gateway; hit; detail=grace']);
    expect((await tag()).status).toBe(502);
  });

  it('that a hundred tags make at once is one, for they all have the same to show', async () => {
    const { tag, downloads, emulator } = await start();
    emulator.fault({ kind: 'latency', ms: 150, times: 1 });
    const replies = await Promise.all(Array.from({ length: 100 }, () => tag()));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    expect(downloads()).toHaveLength(1);
  });

  it('stands with the unproven for good, so that it never delays those whose token is known', async () => {
    const { tag, fetchFile, ann, open, emulator, summaries } = await start({
      set: [...LET_IN, 'quota.perSecond=5', 'quota.unprovenPercent=20', 'clientLimit.by=token'],
    });
    expect((await fetchFile(open, '', ann)).status).toBe(200);
    for (let i = 0; i < 3; i += 1) expect((await tag()).status).toBe(200);
    const tags = Array.from({ length: 20 }, (_, i) => tag(`made-up-${i}`));
    await expect.poll(() => emulator.received().length).toBeGreaterThan(5);
    const before = summaries.length;
    expect((await fetchFile(open, '', ann)).status).toBe(200);
    // It came last, and was served before most of them.
    expect(summaries.length - before).toBeLessThan(12);
    await Promise.all(tags);
  });
});

describe('an answer from memory to a tag', () => {
  const fieldsOf = (headers: Record<string, unknown>) => [
    headers['access-control-allow-origin'],
    headers['access-control-expose-headers'],
    headers['vary'],
  ];

  // A browser keeps what its tag got, and hands it to a script of the page that asks for the same later.
  it.each(['*', 'https://chat.example.com'])(
    'is as good for a script of a page as any other, with %s',
    async (origins) => {
      const { tag } = await start({ set: [...LET_IN, `cors.origins=${origins}`] });
      const fetched = await tag();
      const kept = await tag();
      expect([fetched.cache, kept.cache]).toEqual([MISS, HIT]);
      expect(fieldsOf(kept.headers)).toEqual(fieldsOf(fetched.headers));
      expect(fieldsOf(kept.headers)).not.toEqual([undefined, undefined, undefined]);
    },
  );
});
