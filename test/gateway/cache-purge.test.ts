import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Redis } from 'ioredis';
import { type Cached, cacheOf, OPERATOR, type Shared, startCached, thumbnailFields, until } from '../kit/cached.ts';
import { APP, bearer, ORG } from '../kit/easemob.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { askWire } from '../kit/wire.ts';

const HIT = 'hit; detail=memory';
const STORED = 'fwd=uri-miss; fwd-status=200; stored';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

async function purge(cached: Cached, path: string, replica = 0) {
  const response = await fetch(`${cached.adminUrl(replica)}/cache${path}`, {
    method: 'DELETE',
    headers: bearer(OPERATOR),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as { purged: unknown; isLasting: boolean; others: string };
}

/** Two files of one app and one of another, all of them kept at all replicas. */
async function fill(cached: Cached, replicas = 1) {
  const ann = cached.tokenOf('ann');
  const other = cached.emulator.issueToken(ORG, 'other', { username: 'ann', layout: 'long' });
  const [one, two, theirs] = [await cached.share(), await cached.share(), await cached.share({ app: 'other' })];
  const see = (file: Shared, replica = 0) => cached.see(file, file === theirs ? other : ann, replica);
  for (let replica = 0; replica < replicas; replica += 1) {
    for (const file of [one, two, theirs]) expect((await see(file, replica)).status).toBe(200);
  }
  /** Which of the files are kept; those that are not are so from then on. */
  const kept = async (replica = 0) => {
    const found: string[] = [];
    for (const [name, file] of Object.entries({ one, two, theirs })) {
      const seen = await see(file, replica);
      expect(seen.body.equals(file.picture)).toBe(true);
      if (!seen.cache?.startsWith('fwd=uri-miss')) found.push(name);
    }
    return found;
  };
  return { one, two, theirs, ann, kept };
}

/** Waits until so many replicas would hear of a purge. */
async function untilHeardBy(count: number, { keyPrefix }: Cached): Promise<void> {
  const client = new Redis(redis.url);
  try {
    await until(async () => (await client.pubsub('NUMSUB', `${keyPrefix}purge:v1`))[1] === count);
  } finally {
    client.disconnect();
  }
}

const SELECTORS: [string, (one: Shared) => string, string[]][] = [
  ['a file', ({ uuid }) => `/${ORG}/${APP}/${uuid}`, ['two', 'theirs']],
  ['an app', () => `/${ORG}/${APP}`, ['theirs']],
  ['everything', () => '', []],
  ['what is not there', () => `/${ORG}/${APP}/none`, ['one', 'two', 'theirs']],
];

describe('a purge', () => {
  it.each(SELECTORS)('of %s takes out that and nothing else', async (_case, path, left) => {
    const cached = await startCached();
    const { one, kept } = await fill(cached);
    expect(await purge(cached, path(one))).toMatchObject({ isLasting: true, others: 'none known' });
    expect(await kept()).toEqual(left);
    expect(await kept()).toEqual(['one', 'two', 'theirs']);
  });

  it.each(SELECTORS)('of %s holds after a restart', async (_case, path, left) => {
    const cached = await startCached();
    const { one, kept } = await fill(cached);
    await cached.restart();
    expect((await cached.stats()).cache.disk?.entries).toBe(3);
    expect(await purge(cached, path(one))).toMatchObject({ isLasting: true });
    await cached.restart();
    expect((await cached.stats()).cache.disk?.entries).toBe(left.length);
    expect(await kept()).toEqual(left);
  });

  it('reaches the other replica, its memory and its disk', async () => {
    const cached = await startCached({ replicas: 2, redis });
    await untilHeardBy(2, cached);
    for (const [, path, left] of SELECTORS.toReversed()) {
      const { one, kept } = await fill(cached, 2);
      expect(await purge(cached, path(one))).toMatchObject({ others: 'told' });
      await until(async () => (await cached.stats(1)).cache.memory.entries === left.length);
      expect(await kept(0)).toEqual(left);
      expect(await kept(1)).toEqual(left);
      await purge(cached, '');
      await until(async () => (await cached.stats(1)).cache.memory.entries === 0);
    }
    await cached.restart(1);
    expect((await cached.stats(1)).cache.disk?.entries).toBe(0);
  });

  it('says so when the others could not be told', async () => {
    await using own = await startRedis();
    const cached = await startCached({ redis: own });
    const { kept } = await fill(cached);
    await own.stop();
    expect(await purge(cached, '')).toMatchObject({ isLasting: true, others: 'not told' });
    expect(await kept()).toEqual([]);
  });

  it('takes out all forms of a file', async () => {
    const cached = await startCached();
    const { one, ann } = await fill(cached);
    const forms = ['vframe=true', 'size=small', 'size=large'].map((query) => ({
      path: `${one.path}?${query}`,
      fields: thumbnailFields(ann).slice(0, 1),
    }));
    for (const cache of [STORED, HIT]) {
      for (const form of forms) expect(cacheOf(await askWire(cached.url(), form))).toBe(cache);
    }
    await purge(cached, `/${ORG}/${APP}/${one.uuid}`);
    for (const form of forms) expect(cacheOf(await askWire(cached.url(), form))).toBe(STORED);
  });

  it('takes the right to see from nobody, and gives it to nobody', async () => {
    const cached = await startCached();
    const { one, ann } = await fill(cached);
    await purge(cached, '');
    const revoked = cached.tokenOf('eve');
    cached.emulator.revokeToken(revoked);
    expect((await cached.see(one, revoked)).status).toBe(401);
    expect((await cached.see(one, ann)).cache).toBe(STORED);
    expect((await cached.see(one, ann)).cache).toBe(HIT);
  });
});

describe('a file that is no more at the upstream', () => {
  it.each<[string, (cached: Cached, file: Shared) => void]>([
    ['because it was forgotten', ({ emulator }, { uuid }) => void emulator.forgetFile(uuid)],
    ['because it has expired', ({ emulator }, { uuid }) => void emulator.expireFile(uuid)],
  ])('%s is taken out as soon as anybody is told so, in all its forms', async (_case, end) => {
    const cached = await startCached();
    const { one, ann } = await fill(cached);
    end(cached, one);
    // Nobody has been told yet.
    expect((await cached.see(one, ann)).cache).toBe(HIT);
    expect((await cached.see(one, cached.tokenOf('bob'))).status).toBe(404);
    expect((await cached.see(one, ann)).status).toBe(404);
    await cached.restart();
    expect((await cached.stats()).cache.disk?.entries).toBe(2);
    expect((await cached.see(one, ann)).status).toBe(404);
  });

  it('is taken out also by a request that goes past the cache', async () => {
    const cached = await startCached();
    const { one, ann } = await fill(cached);
    cached.emulator.forgetFile(one.uuid);
    const original = { path: one.path, fields: thumbnailFields(ann).slice(0, 1) };
    expect((await askWire(cached.url(), original)).status).toBe(404);
    expect((await cached.see(one, ann)).status).toBe(404);
  });

  it.each([
    ['a page', { 'content-type': 'text/html' }, '<h1>Not Found</h1>'],
    ['another error', { 'content-type': 'application/json' }, '{"error":"service_resource_not_found"}'],
    ['an unknown app', { 'content-type': 'application/json' }, '{"error":"organization_application_not_found"}'],
  ])('is not what %s with the status 404 tells of', async (_case, headers, body) => {
    const cached = await startCached();
    const { one, ann } = await fill(cached);
    cached.emulator.fault({ kind: 'status', status: 404, headers, body, times: 1 });
    expect((await cached.see(one, cached.tokenOf('bob'))).status).toBe(404);
    expect((await cached.see(one, ann)).cache).toBe(HIT);
  });
});

describe("the operator's counters", () => {
  it('tell of each tier what is there and how often it was asked for', async () => {
    const cached = await startCached();
    const { one, ann } = await fill(cached);
    await cached.see(one, ann);
    // The disk is written to in the background.
    await until(async () => (await cached.stats()).cache.disk?.entries === 3);
    const before = await cached.stats();
    expect(before.cache.memory).toMatchObject({ entries: 3, hits: 1, misses: 3, evictions: 0 });
    expect(before.cache.disk).toMatchObject({ state: 'open', entries: 3 });
    expect(before.access).toMatchObject({ tokens: 2, files: 3, shared: 'off' });
    await cached.restart();
    expect((await cached.stats()).cache.memory).toMatchObject({ entries: 0, hits: 0 });
    await cached.see(one, ann);
    expect((await cached.stats()).cache.memory).toMatchObject({ entries: 1 });
  });

  it('hold nothing that somebody could be known by', async () => {
    const cached = await startCached();
    const { one, ann } = await fill(cached);
    const text = JSON.stringify(await cached.stats());
    for (const secret of [ann, one.uuid, OPERATOR, APP]) expect(text).not.toContain(`"${secret}`);
  });
});
