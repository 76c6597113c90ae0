import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../kit/redis.ts';
import { connected } from '../quota/redis-account.ts';
import {
  accepts,
  no,
  pair,
  yes,
  alone,
  APP,
  BANNED,
  bearerOf,
  DIGEST_KEY,
  open,
  refuses,
  replicaIn,
  sees,
  setUp,
  expectSoon,
  WINDOW,
  type World,
} from './replica-kit.ts';
import { AGORA, agoraToken } from './tokens-kit.ts';

/** Two replicas that know the file to be open. */
const two = async (world: World) => {
  const [a, b] = await pair(world);
  return { a, b, now: () => world.clock.monotonic() };
};

const redisOf = ({ server }: World) => connected(server.url);

/** All keys with what they hold, as one text. */
const everythingIn = async (world: World): Promise<string> => {
  const redis = await redisOf(world);
  const texts: string[] = [];
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    texts.push(key, JSON.stringify(type === 'hash' ? await redis.hgetall(key) : await redis.get(key)));
  }
  return texts.join('\n');
};

/** Waits until Redis knows of so many tokens. */
const untilTold = async (world: World, tokens: number) => {
  const redis = await redisOf(world);
  for (let i = 0; i < 200 && (await redis.keys('*token:*')).length < tokens; i += 1) await sleep(5);
  expect(await redis.keys('*token:*')).toHaveLength(tokens);
};

describe('replicas', () => {
  it('believe what one of them has seen accepted, for what is left of its window', async () => {
    const world = await setUp();
    const { a, b, now } = await two(world);
    accepts(a, 't', now() - 10_000);
    await untilTold(world, 1);
    expect(await sees(b.access, 't')).toEqual(yes);
    await world.clock.advance(WINDOW - 10_000 - 1000);
    expect([await sees(a.access, 't'), await sees(b.access, 't')]).toEqual([yes, yes]);
    await world.clock.advance(1000);
    expect([await sees(a.access, 't'), await sees(b.access, 't')]).toEqual([no('no-grant'), no('no-grant')]);
  });

  it('believe a token that was issued through one of them', async () => {
    const world = await setUp();
    const { a, b, now } = await two(world);
    const expiresAt = world.clock.now() + 10 * WINDOW;
    a.access.learnIssued(APP, { value: 't', kind: 'user', expiresAt, lastsMs: undefined }, now());
    await untilTold(world, 1);
    expect(await sees(b.access, 't')).toEqual(yes);
  });

  it('keep it in Redis for no longer than that, nor than the token lasts', async () => {
    const world = await setUp();
    const { a, now } = await two(world);
    accepts(a, 'one', now() - 10_000);
    await untilTold(world, 1);
    a.access.learnAnswer(bearerOf(a.access, 'two', { expiresAt: world.clock.now() + 5000 }), 'f', undefined, now());
    await untilTold(world, 2);
    const redis = await redisOf(world);
    const left = await Promise.all((await redis.keys('*token:*')).map((key) => redis.pttl(key)));
    expect(Math.max(...left)).toBeLessThanOrEqual(WINDOW - 10_000);
    expect(Math.min(...left)).toBeLessThanOrEqual(5000);
    for (const key of await redis.keys('*')) expect(await redis.pttl(key)).toBeGreaterThan(0);
  });

  it('do not renew it by copying it to and fro', async () => {
    const world = await setUp();
    const { a, b, now } = await two(world);
    accepts(a, 't', now());
    await untilTold(world, 1);
    const startedAt = now();
    let looks = 0;
    while (now() < startedAt + WINDOW + 2000) {
      const c = await replicaIn(world);
      open(c.access);
      for (const { access } of [a, b, c]) {
        const { allowed } = await sees(access, 't');
        looks += 1;
        if (now() >= startedAt + WINDOW) expect(allowed).toBe(false);
        if (now() < startedAt + WINDOW - 1000) expect(allowed).toBe(true);
      }
      await world.clock.advance(4000);
    }
    expect(looks).toBeGreaterThan(20);
  });

  it('hear of a refusal at once, and remember it when they come later', async () => {
    const world = await setUp();
    const { a, b, now } = await two(world);
    accepts(a, 't', now() - 100);
    await untilTold(world, 1);
    expect(await sees(b.access, 't')).toEqual(yes);
    refuses(a, 't', now());
    expect(await sees(a.access, 't')).toEqual(no('token-refused'));
    await expectSoon(() => b.access.refusalOf(bearerOf(b.access, 't')) === 'token-refused');
    expect(await sees(b.access, 't')).toEqual(no('token-refused'));
    // The answer to a request from before the refusal comes in late, at the one or the other.
    accepts(b, 't', now() - 50);
    const c = await replicaIn(world);
    open(c.access);
    accepts(c, 't', now() - 10_000);
    for (const { access } of [a, b, c]) {
      await expectSoon(() => !access.maySee(bearerOf(access, 't'), { file: 'f1', secret: undefined }).allowed);
      expect(await sees(access, 't')).toEqual(no('token-refused'));
    }
    // A later acceptance is believed by all.
    await world.clock.advance(1500);
    accepts(b, 't', now());
    await sleep(20);
    await world.clock.advance(1500);
    expect(await sees(a.access, 't')).toEqual(yes);
    expect(await sees(c.access, 't')).toEqual(yes);
  });

  it('hear what a refusal was about', async () => {
    const world = await setUp();
    const { a, b, now } = await two(world);
    a.access.learnRefusal(bearerOf(a.access, 't'), BANNED, now());
    await expectSoon(() => b.access.refusalOf(bearerOf(b.access, 't')) === 'service-forbidden');
  });

  it('know of each other which tokens are proven', async () => {
    const world = await setUp();
    const { a, b, now } = await two(world);
    a.access.learnAccepted(bearerOf(a.access, 't'), now());
    await untilTold(world, 1);
    expect(await sees(b.access, 't')).toEqual(no('no-grant'));
    expect(b.access.isProven(APP, 't')).toBe(true);
  });

  it('ask for a token that nobody knows once a second, and once for all that ask together', async () => {
    const world = await setUp();
    const { a } = await two(world);
    const redis = await redisOf(world);
    const bearer = bearerOf(a.access, 't');
    const asked = async () => {
      const calls = [...(await redis.info('commandstats')).matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)];
      return calls.reduce((sum, [, count]) => sum + Number(count), 0);
    };
    const before = await asked();
    await Promise.all(Array.from({ length: 50 }, async () => a.access.lookUp(bearer)));
    for (let i = 0; i < 50; i += 1) expect(a.access.lookUp(bearer)).toBeUndefined();
    // And the beats of both.
    expect((await asked()) - before).toBeLessThan(10);
    await world.clock.advance(1001);
    expect(a.access.lookUp(bearer)).toBeDefined();
    expect(a.access.stats().tokens).toBe(0);
  });

  it('before different upstreams have nothing to tell each other', async () => {
    const world = await setUp();
    const { a, now } = await two(world);
    const other = await replicaIn(world, {}, { secrets: { digestKey: DIGEST_KEY, realm: 'http://localhost:8090' } });
    open(other.access);
    accepts(a, 't', now());
    await untilTold(world, 1);
    expect(await sees(other.access, 't')).toEqual(no('no-grant'));
  });

  it('tell Redis nothing that is secret', async () => {
    const world = await setUp();
    const redis = await redisOf(world);
    const lines: string[] = [];
    const monitor = await (redis as Redis).monitor();
    onTestFinished(() => monitor.disconnect());
    monitor.on('monitor', (_time: string, args: string[]) => lines.push(JSON.stringify(args)));
    const verify = { agora: [AGORA], easemob: [] };
    const a = await replicaIn(world, { verify });
    const token = agoraToken({ issued: Math.floor(world.clock.now() / 1000) });
    const bearer = bearerOf(a.access, token);
    await a.access.lookUp(bearer);
    a.access.learnAnswer(bearer, 'the-file', 'the-share-secret', world.clock.monotonic());
    a.access.learnRefusal(bearerOf(a.access, 'YWMt-the-other-token'), BANNED, world.clock.monotonic());
    await untilTold(world, 2);
    const told = `${await everythingIn(world)}\n${lines.join('\n')}`;
    expect(told).toContain('service-forbidden');
    const secrets = [token, token.slice(3, 40), 'YWMt-the-other-token', 'the-share-secret', 'the-file', DIGEST_KEY];
    for (const secret of [...secrets, AGORA.certificate, APP, 'https://a1.easemob.com']) {
      expect(told).not.toContain(secret);
      expect(told).not.toContain(Buffer.from(secret).toString('base64url'));
    }
  });
});

it('replicas share a Cluster as they share a single Redis', async () => {
  const world = await setUp({
    'cluster-enabled': 'yes',
    'cluster-port': String(await freePort()),
    'cluster-announce-ip': '127.0.0.1',
  });
  const admin = await redisOf(world);
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  for (let i = 0; i < 400 && !(await admin.cluster('INFO')).includes('cluster_state:ok'); i += 1) await sleep(10);
  const url = `redis+cluster://127.0.0.1:${world.server.port}`;
  const join = async () => {
    const redis = { url, keyPrefix: world.keyPrefix, shiftMs: () => world.clock.shiftMs };
    const access = alone(world.clock, {}, { redis, secrets: { digestKey: DIGEST_KEY, realm: '' } });
    await expectSoon(() => access.stats().shared === 'connected', world.clock);
    open(access);
    return access;
  };
  const [a, b] = [await join(), await join()];
  accepts({ access: a }, 't', world.clock.monotonic());
  await untilTold(world, 1);
  expect(await sees(b, 't')).toEqual(yes);
  refuses({ access: a }, 't', world.clock.monotonic());
  await expectSoon(() => b.refusalOf(bearerOf(b, 't')) !== undefined);
});

describe('a token that proves itself, at several replicas', () => {
  const verify = { agora: [AGORA], easemob: [] };
  const verifying = async (world: World) => {
    const replica = await replicaIn(world, { verify });
    open(replica.access);
    return replica;
  };
  const fresh = (world: World) => agoraToken({ issued: Math.floor(world.clock.now() / 1000), lasts: 36_000 });

  it('has one window for all of them, from its first sight at any', async () => {
    const world = await setUp();
    const [a, b] = [await verifying(world), await verifying(world)];
    const token = fresh(world);
    expect(await sees(a.access, token)).toEqual(yes);
    await world.clock.advance(WINDOW - 2000);
    expect(await sees(b.access, token)).toEqual(yes);
    await world.clock.advance(2000);
    const c = await verifying(world);
    for (const { access } of [a, b, c]) expect(await sees(access, token)).toEqual(no('no-grant'));
  });

  it('is refused at all of them, however it is written, once one was told so', async () => {
    const world = await setUp();
    const [a, b] = [await verifying(world), await verifying(world)];
    const token = fresh(world);
    expect([await sees(a.access, token), await sees(b.access, token)]).toEqual([yes, yes]);
    refuses(a, token, world.clock.monotonic());
    await expectSoon(() => b.access.refusalOf(bearerOf(b.access, token)) !== undefined);
    const c = await verifying(world);
    for (const { access } of [a, b, c]) expect((await sees(access, token)).allowed).toBe(false);
    await world.clock.advance(WINDOW + 1000);
    for (const { access } of [a, b, c]) expect((await sees(access, token)).allowed).toBe(false);
  });

  it('has no window while Redis is away, where nobody can tell whether it had one', async () => {
    const world = await setUp();
    const a = await verifying(world);
    a.proxy.refuse();
    await expectSoon(() => a.access.stats().shared === 'away');
    expect(await sees(a.access, fresh(world))).toEqual(no('no-grant'));
  });
});

describe('a digest key', () => {
  it('that is not set keeps replicas apart, and is asked for once', async () => {
    const world = await setUp();
    const notices: string[] = [];
    const redis = { url: world.server.url, keyPrefix: world.keyPrefix };
    const notice = (level: string, message: string) => void notices.push(`${level}: ${message}`);
    const access = alone(world.clock, {}, { redis, notice });
    open(access);
    accepts({ access }, 't', world.clock.monotonic());
    expect(await sees(access, 't')).toEqual(yes);
    expect(access.stats().shared).toBe('off');
    expect(notices).toEqual([expect.stringMatching(/^warn: secrets\.digestKey is not set/)]);
    expect(await everythingIn(world)).toBe('');
  });

  it('is not asked for where there is no Redis', () => {
    const notices: string[] = [];
    alone({ now: () => 0, monotonic: () => 0, after: () => () => {} }, {}, { notice: (_, text) => notices.push(text) });
    expect(notices).toEqual([]);
  });
});
