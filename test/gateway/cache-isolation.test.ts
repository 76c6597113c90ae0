import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cached, type CachedOptions, etagOf, openCached, thumbnailFields, until } from '../kit/cached.ts';
import { startRedis } from '../kit/redis.ts';
import { type Scene, STRANGERS } from '../kit/strangers.ts';
import { attemptsOf, expectNothing, expectNothingAtOnce, WAYS_IN } from '../kit/ways.ts';
import { askWire } from '../kit/wire.ts';

// Each stranger tries every way of asking (test/kit/ways.ts); what it must meet is asked of the emulator itself.

/** Opens a world for the tests of one place, and sets a new scene in it for each. */
function inWorld(options: () => Promise<CachedOptions> | CachedOptions) {
  const opened = new AsyncDisposableStack();
  let cached: Cached;
  beforeAll(async () => {
    cached = opened.use(await openCached(await options()));
  });
  afterAll(() => opened.disposeAsync());
  return async (): Promise<{ scene: Scene; ann: string }> => {
    const [open, restricted] = [await cached.share(), await cached.share({ restricted: true })];
    return { scene: { ...cached, open, restricted }, ann: await cached.believed('ann') };
  };
}

/** An honest reader sees each picture as it is. */
async function expectSeen(scene: Scene, token: string, replica = 0, cache?: string): Promise<void> {
  for (const file of [scene.open, scene.restricted]) {
    const seen = await scene.see(file, token, replica);
    expect([seen.status, seen.body.equals(file.picture)]).toEqual([200, true]);
    expect(seen.headers['etag']).toBe(etagOf(file.picture));
    if (cache !== undefined) expect(seen.cache).toBe(cache);
  }
}

describe('a picture in memory', () => {
  const arrange = inWorld(() => ({}));

  it.each(STRANGERS)('is not shown to $name', async (stranger) => {
    const { scene, ann } = await arrange();
    await expectSeen(scene, ann);
    await expectNothing(await attemptsOf(stranger, scene), scene, scene.url());
    await expectSeen(scene, ann, 0, 'hit; detail=memory');
  });
});

describe('a picture on the disk alone', () => {
  const arrange = inWorld(() => ({ isOnDisk: true }));

  it.each(STRANGERS)('is not shown to $name, soon after a restart or later', async (stranger) => {
    const { scene, ann } = await arrange();
    await expectSeen(scene, ann);
    await scene.restart();
    const attempts = await attemptsOf(stranger, scene, WAYS_IN);
    await expectNothing(attempts, scene, scene.url());
    await expectSeen(scene, ann);
    await expectSeen(scene, ann, 0, 'hit; detail=disk');
    await expectNothing(attempts, scene, scene.url());
  });
});

describe('a picture that is being fetched', () => {
  const arrange = inWorld(() => ({}));

  it.each(STRANGERS)('is not shown to $name', async (stranger) => {
    const { scene, ann } = await arrange();
    const files = [scene.open, scene.restricted];
    const held = scene.gate.hold(
      ({ headers, url }) => headers.authorization === `Bearer ${ann}` && files.some(({ path }) => url === path),
    );
    const leaders = files.map(({ path, secret }) =>
      askWire(scene.url(), { path, fields: thumbnailFields(ann, secret) }),
    );
    await until(() => held.count === files.length);
    const attempts = await attemptsOf(stranger, scene, WAYS_IN);
    await expectNothing(attempts, scene, scene.url());
    const others = expectNothingAtOnce(attempts, scene, scene.url());
    held.release();
    await others;
    for (const [index, { body }] of (await Promise.all(leaders)).entries()) expect(body).toEqual(files[index]?.picture);
    await expectSeen(scene, ann, 0, 'hit; detail=memory');
  });
});

describe('a picture at two replicas with one Redis', () => {
  const opened = new AsyncDisposableStack();
  afterAll(() => opened.disposeAsync());
  const arrange = inWorld(async () => ({ replicas: 2, redis: opened.use(await startRedis()) }));

  it.each(STRANGERS)('is not shown by the other to $name', async (stranger) => {
    const { scene, ann } = await arrange();
    for (const replica of [0, 1]) await expectSeen(scene, ann, replica);
    // What the other has learnt through Redis is what is new here.
    await expectNothing(await attemptsOf(stranger, scene, WAYS_IN), scene, scene.url(1));
    for (const replica of [0, 1]) await expectSeen(scene, ann, replica, 'hit; detail=memory');
  });
});
