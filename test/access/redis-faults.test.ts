import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { connected } from '../quota/redis-account.ts';
import {
  accepts,
  no,
  pair,
  yes,
  bearerOf,
  open,
  refuses,
  type Replica,
  replicaIn,
  sees,
  setUp,
  expectSoon,
  WINDOW,
  type World,
} from './replica-kit.ts';

/** The longest of some looks at tokens that nobody knows, in ms of real time. */
const slowestLook = async ({ access }: Replica, looks: number): Promise<number[]> => {
  const took: number[] = [];
  for (let i = 0; i < looks; i += 1) {
    const startedAt = performance.now();
    await access.lookUp(bearerOf(access, `unknown${i}`));
    took.push(performance.now() - startedAt);
  }
  return took;
};

const faults: [
  string,
  (world: World, replica: Replica) => void | Promise<void>,
  (world: World, replica: Replica) => void | Promise<void>,
][] = [
  ['refuses', (_, { proxy }) => proxy.refuse(), (_, { proxy }) => proxy.accept()],
  ['hangs', (_, { proxy }) => void (proxy.swallows = true), (_, { proxy }) => void (proxy.swallows = false)],
  ['is paused', ({ server }) => server.signal('SIGSTOP'), ({ server }) => server.signal('SIGCONT')],
  [
    'is slower than it may be',
    (_, { proxy }) => void (proxy.delayMs = 200),
    (_, { proxy }) => void (proxy.delayMs = 0),
  ],
  ['is restarted empty', ({ server }) => server.stop(), ({ server }) => server.restart()],
];

describe('while Redis', () => {
  it.each(faults)(
    '%s, this replica believes what it knows, waits for nobody, and comes back',
    async (_case, breakIt, mendIt) => {
      const world = await setUp();
      const notices: string[] = [];
      const notice = (level: string, message: string, details?: object) =>
        void notices.push(`${level} ${message} ${JSON.stringify(details ?? {})}`);
      const a = await replicaIn(world, {}, { notice });
      open(a.access);
      const now = () => world.clock.monotonic();
      accepts(a, 'before', now());
      await breakIt(world, a);
      accepts(a, 'during', now());
      refuses(a, 'refused', now());
      const took = await slowestLook(a, 20);
      // The first may find out; nobody else waits for the same answer.
      expect(Math.max(...took)).toBeLessThan(450);
      expect(took.filter((ms) => ms > 100).length).toBeLessThanOrEqual(1);
      await expectSoon(() => a.access.stats().shared === 'away');
      for (const token of ['before', 'during']) expect(await sees(a.access, token)).toEqual(yes);
      expect(await sees(a.access, 'refused')).toEqual(no('token-refused'));
      await world.clock.advance(WINDOW);
      expect(await sees(a.access, 'before')).toEqual(no('no-grant'));
      await mendIt(world, a);
      await expectSoon(() => a.access.stats().shared === 'connected', world.clock);
      accepts(a, 'after', now());
      expect(await sees(a.access, 'after')).toEqual(yes);
      expect(notices[0]).toMatch(new RegExp(`^warn Redis is away: .*127.0.0.1:${a.proxy.port}`));
      expect(notices.at(-1)).toMatch(/^info Redis is back: /);
    },
  );
});

describe('a replica that was cut off', () => {
  it('believes nothing from before until Redis has told whether it was taken back', async () => {
    const world = await setUp();
    const [a, b] = await pair(world);
    const now = () => world.clock.monotonic();
    for (const token of ['good', 'taken']) accepts(b, token, now());
    b.proxy.refuse();
    await expectSoon(() => b.access.stats().shared === 'away');
    refuses(a, 'taken', now());
    // While it is cut off, its memory and the window are all it has.
    expect(await sees(b.access, 'taken')).toEqual(yes);
    b.proxy.accept();
    await expectSoon(() => b.access.stats().shared === 'connected', world.clock);
    const direct = b.access.maySee(bearerOf(b.access, 'taken'), { file: 'f1', secret: undefined });
    expect(direct.allowed).toBe(false);
    expect(await sees(b.access, 'taken')).toEqual(no('token-refused'));
    expect(await sees(b.access, 'good')).toEqual(yes);
  });

  it('notices by itself that it is deaf, and hears again', async () => {
    const world = await setUp();
    const [a, b] = await pair(world);
    const now = () => world.clock.monotonic();
    accepts(b, 't', now());
    // A network that forgets connections without a word: the one for commands runs into a timeout, the one that only
    // listens loses a message, and waits for the next for ever.
    b.proxy.swallows = true;
    refuses(a, 't', now());
    await expectSoon(
      () => a.access.refusalOf(bearerOf(a.access, 't')) !== undefined && b.access.stats().shared === 'away',
    );
    b.proxy.swallows = false;
    await expectSoon(() => b.access.stats().shared === 'connected', world.clock);
    for (let i = 0; i < 400 && (await sees(b.access, 't')).allowed; i += 1) {
      await world.clock.advance(20);
      await sleep(5);
    }
    expect(await sees(b.access, 't')).toEqual(no('token-refused'));
  });

  it('tells the others what it was refused meanwhile, when Redis is back', async () => {
    const world = await setUp();
    const [a, b] = await pair(world);
    const now = () => world.clock.monotonic();
    accepts(b, 't', now() - 10);
    a.proxy.refuse();
    await expectSoon(() => a.access.stats().shared === 'away');
    refuses(a, 't', now());
    expect(await sees(b.access, 't')).toEqual(yes);
    a.proxy.accept();
    await expectSoon(() => b.access.refusalOf(bearerOf(b.access, 't')) !== undefined, world.clock);
    expect(await sees(b.access, 't')).toEqual(no('token-refused'));
  });
});

describe('a Redis that lost its memory', () => {
  it('is told again of refusals, and of grants when they are used', async () => {
    const world = await setUp();
    const [a, b] = await pair(world);
    const now = () => world.clock.monotonic();
    accepts(a, 'good', now());
    accepts(a, 'taken', now() - 10);
    refuses(a, 'taken', now());
    await world.server.restart();
    for (const { access } of [a, b]) await expectSoon(() => access.stats().shared === 'connected', world.clock);
    expect(await sees(a.access, 'good')).toEqual(yes);
    const redis = await connected(world.server.url);
    for (let i = 0; i < 200 && (await redis.keys('*token:*')).length < 2; i += 1) {
      await world.clock.advance(20);
      await sleep(5);
    }
    expect(await sees(b.access, 'good')).toEqual(yes);
    accepts(b, 'taken', now() - 5000);
    const c = await replicaIn(world);
    open(c.access);
    expect(await sees(c.access, 'taken')).toEqual(no('token-refused'));
  });

  it('is noticed also when no connection broke', async () => {
    const world = await setUp();
    const [a, b] = await pair(world);
    refuses(a, 'taken', world.clock.monotonic());
    accepts(a, 'good', world.clock.monotonic());
    const redis = await connected(world.server.url);
    const untilTold = async (tokens: number) => {
      for (let i = 0; i < 200 && (await redis.keys('*token:*')).length < tokens; i += 1) {
        await world.clock.advance(50);
        await sleep(5);
      }
    };
    await untilTold(2);
    await redis.flushall();
    await untilTold(1);
    expect(await sees(a.access, 'good')).toEqual(yes);
    await untilTold(2);
    expect(await sees(b.access, 'good')).toEqual(yes);
    const c = await replicaIn(world);
    open(c.access);
    expect(await sees(c.access, 'taken')).toEqual(no('token-refused'));
  });

  it.each([-3_600_000, -10_000, -1000, -50, 50, 10_000])(
    'or whose clock was set by %d ms gives nothing a longer life',
    async (jump) => {
      const world = await setUp();
      let jumped = 0;
      const shiftMs = () => world.clock.shiftMs + jumped;
      const [a, b] = await Promise.all([replicaIn(world, {}, {}, shiftMs), replicaIn(world, {}, {}, shiftMs)]);
      open(a.access, b.access);
      const startedAt = world.clock.monotonic();
      accepts(a, 'old', startedAt);
      refuses(a, 'refused', startedAt);
      expect(await sees(b.access, 'nobody')).toEqual(no('no-grant'));
      await world.clock.advance(WINDOW - 2000);
      const redis = await connected(world.server.url);
      const epoch = async () => redis.hget((await redis.keys('*clock'))[0] ?? '', 'epoch');
      const before = await epoch();
      jumped = jump;
      for (let i = 0; i < 200 && (await epoch()) === before; i += 1) await world.clock.advance(20);
      expect(await epoch()).not.toBe(before);
      await world.clock.advance(3000);
      const c = await replicaIn(world, {}, {}, shiftMs);
      open(c.access);
      for (const { access } of [a, b, c]) {
        expect(await sees(access, 'old')).toEqual(no('no-grant'));
        expect((await sees(access, 'refused')).allowed).toBe(false);
      }
      accepts(a, 'new', world.clock.monotonic());
      await world.clock.advance(1500);
      expect(await sees(c.access, 'new')).toEqual(yes);
    },
  );
});

it('what is told late through a slow connection is as old as it was', async () => {
  const world = await setUp();
  const [a, b] = await pair(world);
  a.proxy.delayMs = 110;
  const sentAt = world.clock.monotonic() - WINDOW + 3000;
  accepts(a, 't', sentAt);
  const redis = await connected(world.server.url);
  for (let i = 0; i < 200 && (await redis.keys('*token:*')).length < 1; i += 1) await sleep(5);
  const [key = ''] = await redis.keys('*token:*');
  const trueAge = world.clock.monotonic() - sentAt;
  const [seconds, micros] = await redis.time();
  const age = Number(seconds) * 1000 + Number(micros) / 1000 - Number(await redis.hget(key, 'accepted'));
  expect(age + world.clock.shiftMs).toBeGreaterThanOrEqual(trueAge);
  expect(await sees(b.access, 't')).toEqual(yes);
  await world.clock.advance(sentAt + WINDOW - world.clock.monotonic());
  expect(await sees(b.access, 't')).toEqual(no('no-grant'));
});
