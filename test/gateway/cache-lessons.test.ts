import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/emulator/emulator.ts';
import { type Cached, cacheOf, openCached, type Shared, startCached, thumbnailFields, until } from '../kit/cached.ts';
import { APP, ORG, uploadTo } from '../kit/easemob.ts';
import { type RawRequest, startRawUpstream } from '../kit/raw-upstream.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { askWire } from '../kit/wire.ts';

let cached: Cached;
let redis: TestRedis;
beforeAll(async () => {
  cached = await openCached({ set: ['access.refusalSeconds=0'] });
  redis = await startRedis();
});
afterAll(async () => {
  await cached[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

/** A file whose thumbnail is kept, since somebody has just seen it. */
async function keptFile(restricted: boolean, reader = cached.tokenOf('ann'), world = cached): Promise<Shared> {
  const file = await world.share({ restricted });
  expect((await world.see(file, reader)).body.equals(file.picture)).toBe(true);
  return file;
}

const VOUCHED = 'fwd=request; fwd-status=304';
const HIT = 'hit; detail=memory';

describe('a token of unknown kind that was served an open file', () => {
  it('has shown that for itself alone', async () => {
    const eve = cached.tokenOf('eve', { layout: 'short' });
    const file = await keptFile(false, eve);
    expect((await cached.see(file, eve)).cache).toBe(HIT);
    for (const layout of ['short', 'long'] as const) {
      const bob = await cached.believed('bob', { layout });
      expect((await cached.see(file, bob)).cache).toBe(VOUCHED);
    }
    // The last of these was known to be a user's: now the file is known to be open.
    expect((await cached.see(file, await cached.believed('dan'))).cache).toBe(HIT);
  });
});

describe('an answer that is no file', () => {
  const json = { error: 'none', entities: [] };
  it.each<[string, Fault]>([
    ['JSON', { kind: 'status', status: 200, body: json }],
    [
      'JSON of another name',
      { kind: 'status', status: 200, headers: { 'content-type': 'text/x-json' }, body: '{"a":1}' },
    ],
    [
      'JavaScript',
      { kind: 'status', status: 200, headers: { 'content-type': 'application/javascript' }, body: 'callback({})' },
    ],
    ['a page', { kind: 'status', status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Log in</h1>' }],
    ['something without a type', { kind: 'status', status: 200, headers: { 'content-type': '' }, body: 'hm' }],
    ['nothing', { kind: 'status', status: 204, body: '' }],
    [
      'JSON that calls itself a picture',
      { kind: 'status', status: 200, headers: { 'content-type': 'image/jpeg' }, body: '{"error":"unauthorized"}' },
    ],
    ['an empty picture', { kind: 'status', status: 200, headers: { 'content-type': 'image/jpeg' }, body: '' }],
  ])('(%s, with a status of success) makes nobody believed', async (_case, fault) => {
    for (const restricted of [false, true]) {
      const file = await keptFile(restricted);
      const revoked = cached.tokenOf('eve');
      cached.emulator.revokeToken(revoked);
      cached.emulator.fault({ ...fault, times: 1 });
      const first = await cached.see(file, revoked);
      expect([first.status < 300, first.body.includes(file.picture.subarray(0, 16))]).toEqual([true, false]);
      const second = await cached.see(file, revoked);
      expect([second.status, second.body.includes(file.picture.subarray(0, 16))]).toEqual([401, false]);
    }
  });
});

describe('being accepted for something else', () => {
  it('(an upload) makes nobody believed', async () => {
    const file = await keptFile(false);
    const bob = cached.tokenOf('bob');
    await uploadTo(cached.url(), bob, 'a file of his own');
    cached.emulator.revokeToken(bob);
    expect((await cached.see(file, bob)).status).toBe(401);
  });

  it('(a file of another app) makes nobody believed here', async () => {
    const file = await keptFile(false);
    const token = cached.emulator.issueToken(ORG, 'other', { username: 'ann', layout: 'long' });
    const theirs = await cached.share({ app: 'other' });
    expect((await cached.see(theirs, token)).status).toBe(200);
    expect((await cached.see(file, token)).status).toBe(401);
    // Nor does being refused here take anything from it there.
    expect((await cached.see(theirs, token)).cache).toBe(HIT);
  });

  it('(the head of a file that is not kept) makes nobody believed, since nothing of it came', async () => {
    const file = await keptFile(false);
    const bob = cached.tokenOf('bob');
    const wire = { path: file.path, fields: thumbnailFields(bob).slice(0, 1), method: 'HEAD' };
    expect((await askWire(cached.url(), wire)).status).toBe(200);
    cached.emulator.revokeToken(bob);
    expect((await cached.see(file, bob)).status).toBe(401);
  });
});

describe('a secret', () => {
  it('that was refused takes nothing from the token, nor from the right secret', async () => {
    const ann = cached.tokenOf('ann');
    const file = await keptFile(true, ann);
    for (const secret of ['wrong', '', undefined]) {
      expect((await cached.see({ ...file, secret }, ann)).status).toBe(403);
    }
    expect((await cached.see(file, ann)).cache).toBe(HIT);
  });

  it('is the same in the header and in the query', async () => {
    const ann = cached.tokenOf('ann');
    const file = await keptFile(true, ann);
    const path = `${file.path}?share-secret=${file.secret}`;
    expect(cacheOf(await askWire(cached.url(), { path, fields: thumbnailFields(ann) }))).toBe(HIT);
    const both = { path, fields: thumbnailFields(ann, file.secret) };
    expect(cacheOf(await askWire(cached.url(), both))).toBe(HIT);
  });

  it('of one file is none of another, and none of the same file in another app', async () => {
    const ann = cached.tokenOf('ann');
    const [one, other] = [await keptFile(true, ann), await keptFile(true, ann)];
    expect((await cached.see({ ...one, secret: other.secret }, ann)).status).toBe(403);
    const elsewhere = { ...one, path: one.path.replace(`/${APP}/`, '/other/') };
    const token = cached.emulator.issueToken(ORG, 'other', { username: 'ann', layout: 'long' });
    expect((await cached.see(elsewhere, token)).status).toBe(404);
    expect((await cached.see(one, ann)).cache).toBe(HIT);
  });
});

describe("a token that may do everything, an app's or an admin's", () => {
  const PICTURE = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.from('the bytes of a restricted picture')]);
  const EVERYTHING = 'HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nETag: "theirs"\r\n';
  const REFUSED = JSON.stringify({ error: 'forbidden', error_description: 'chatfile no permission' });

  /** An upstream that asks no secret of some tokens, and the right one of all others. */
  async function start() {
    const mighty = new Set<string>();
    const field = ({ head }: RawRequest, name: string) =>
      new RegExp(`^${name}: *(.*)$`, 'im').exec(head)?.[1]?.trim() ?? '';
    const upstream = await startRawUpstream((request) => {
      const token = field(request, 'authorization').replace('Bearer ', '');
      const { socket } = request;
      if (!mighty.has(token) && field(request, 'share-secret') !== 'right') {
        const head = `HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: ${REFUSED.length}\r\n\r\n`;
        socket.write(head + REFUSED);
      } else if (field(request, 'if-none-match') === '"theirs"') {
        socket.write('HTTP/1.1 304 Same\r\nETag: "theirs"\r\n\r\n');
      } else {
        socket.write(Buffer.concat([Buffer.from(`${EVERYTHING}Content-Length: ${PICTURE.length}\r\n\r\n`), PICTURE]));
      }
    });
    const world = await startCached({ upstreamUrl: upstream.url });
    const file: Shared = { uuid: '0a0b', path: `/${ORG}/${APP}/chatfiles/0a0b`, secret: undefined, picture: PICTURE };
    return { world, file, mighty, [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose]() };
  }

  /** A token of the long layout that says it is an admin's. */
  function adminToken(token: string): string {
    const bytes = Buffer.from(token.slice(4), 'base64url');
    bytes[48] = 1;
    return `YWMt${bytes.toString('base64url')}`;
  }

  it.each<[string, (world: Cached) => string]>([
    ["an app's", ({ tokenOf }) => tokenOf('app', { kind: 'app' })],
    ["an admin's", ({ tokenOf }) => adminToken(tokenOf('admin'))],
    ['one of unknown kind', ({ tokenOf }) => tokenOf('app', { kind: 'app', layout: 'short' })],
  ])('(%s) opens no file for others, by being served without a secret', async (_case, tokenOf) => {
    await using started = await start();
    const { world, file, mighty } = started;
    const strong = tokenOf(world);
    mighty.add(strong);
    expect((await world.see(file, strong)).body).toEqual(PICTURE);
    const bob = world.tokenOf('bob');
    expect((await world.see({ ...file, secret: 'right' }, bob)).status).toBe(200);
    for (const secret of [undefined, '', 'wrong']) {
      expect((await world.see({ ...file, secret }, bob)).status).toBe(403);
    }
    expect((await world.see({ ...file, secret: 'right' }, bob)).cache).toBe(HIT);
  });

  it.each<[string, (world: Cached) => string]>([
    ["an app's", ({ tokenOf }) => tokenOf('app', { kind: 'app' })],
    ["an admin's", ({ tokenOf }) => adminToken(tokenOf('admin'))],
  ])('(%s) proves no secret for others, by being served with a wrong one', async (_case, tokenOf) => {
    await using started = await start();
    const { world, file, mighty } = started;
    const strong = tokenOf(world);
    mighty.add(strong);
    const bob = world.tokenOf('bob');
    expect((await world.see({ ...file, uuid: 'ff', path: `${file.path}ff`, secret: 'right' }, bob)).status).toBe(200);
    for (const secret of ['wrong', 'guessed']) {
      expect((await world.see({ ...file, secret }, strong)).body).toEqual(PICTURE);
      expect((await world.see({ ...file, secret }, bob)).status).toBe(403);
    }
  });
});

describe('as time passes', () => {
  const start = async (...set: string[]) => {
    const clock = createShiftClock();
    const world = await startCached({ clock, set });
    return { clock, world };
  };

  it('a token that has come to its own end sees nothing any more', async () => {
    const { clock, world } = await start();
    const ann = world.tokenOf('ann', { ttlSeconds: 60 });
    const file = await keptFile(true, ann, world);
    await clock.advance(59_000);
    expect((await world.see(file, ann)).cache).toBe(HIT);
    await clock.advance(1000);
    expect((await world.see(file, ann)).status).toBe(401);
  });

  it('a revoked token sees what is kept until its window ends, and hits do not renew it', async () => {
    const { clock, world } = await start();
    const ann = world.tokenOf('ann');
    const file = await keptFile(true, ann, world);
    world.emulator.revokeToken(ann);
    for (let minute = 1; minute < 5; minute += 1) {
      await clock.advance(60_000);
      expect((await world.see(file, ann)).cache).toBe(HIT);
    }
    await clock.advance(60_000);
    expect((await world.see(file, ann)).status).toBe(401);
  });

  it('nobody is believed at all where the window is none', async () => {
    const { world } = await start('access.grantSeconds=0');
    const ann = world.tokenOf('ann');
    const file = await keptFile(false, ann, world);
    for (let again = 0; again < 3; again += 1) expect((await world.see(file, ann)).cache).toBe(VOUCHED);
    world.emulator.revokeToken(ann);
    expect((await world.see(file, ann)).status).toBe(401);
  });
});

describe('replicas with one Redis', () => {
  it('believe what one of them has learnt, and withdraw it together', async () => {
    const world = await startCached({ replicas: 2, redis });
    const [ann, bob] = [world.tokenOf('ann'), world.tokenOf('bob')];
    const file = await world.share();
    for (const replica of [0, 1]) expect((await world.see(file, ann, replica)).status).toBe(200);
    expect((await world.see(file, bob, 0)).cache).toBe(VOUCHED);
    await until(async () => (await world.see(file, bob, 1)).cache === HIT);
    world.emulator.revokeToken(bob);
    expect((await world.see(file, bob, 1)).cache).toBe(HIT);
    // The first replica asks about the original, and learns that the token is none any more.
    const original = { path: file.path, fields: thumbnailFields(bob).slice(0, 1) };
    expect((await askWire(world.url(0), original)).status).toBe(401);
    await until(async () => (await world.see(file, bob, 1)).status === 401);
    const before = world.gate.arrived.length;
    for (const replica of [0, 1]) expect((await world.see(file, bob, replica)).status).toBe(401);
    expect(world.gate.arrived.length).toBe(before);
    await world.restart(1);
    expect((await world.see(file, bob, 1)).status).toBe(401);
    for (const replica of [0, 1]) expect((await world.see(file, ann, replica)).body.equals(file.picture)).toBe(true);
  });
});
