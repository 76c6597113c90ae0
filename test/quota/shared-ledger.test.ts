import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Slot } from '../../src/quota/ledger.ts';
import type { RedisLedger } from '../../src/quota/redis-ledger.ts';
import { createSharedLedger, type SharedLedger } from '../../src/quota/shared-ledger.ts';
import { type ChaosProxy, startChaosProxy } from '../kit/chaos-proxy.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { createShiftClock, type ShiftClock } from '../kit/shift-clock.ts';
import { ask, connected, EGRESS, freshPrefix, mostIn, replicaOf, thirty, WINDOW_MS } from './redis-account.ts';

/** Own slots of one of three replicas: a third of thirty, and four fifths of that. */
const OWN_PACE_MS = (WINDOW_MS / 30) * 3 * (1 / 0.8);
const BLUR_MS = 10;

type World = { server: TestRedis; proxy: ChaosProxy; clock: ShiftClock; keyPrefix: string };

const setUp = async (): Promise<World> => {
  const server = await startRedis();
  onTestFinished(() => server[Symbol.asyncDispose]());
  const proxy = await startChaosProxy(server.port);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return { server, proxy, clock: createShiftClock(), keyPrefix: freshPrefix() };
};

type Replica = { ledger: SharedLedger; remote: RedisLedger; away: string[]; back: number[] };

/** A replica behind the proxy, past the hold of the new account. */
const replicaIn = async ({ proxy, clock, keyPrefix }: World, name = 'a', replicas = 3): Promise<Replica> => {
  let onDown: (reason: Error) => void = () => {};
  const redis = await connected(`redis://127.0.0.1:${proxy.port}`, (reason) => onDown(reason ?? new Error('closed')));
  const remote = replicaOf(redis, clock, { keyPrefix, replica: name });
  await remote.reserve(ask(0));
  const away: string[] = [];
  const back: number[] = [];
  const ledger = createSharedLedger(
    {
      allowances: thirty,
      egressScope: 'egress',
      replicas,
      onAway: (reason) => void away.push(reason.message),
      onBack: (awayMs) => void back.push(awayMs),
    },
    remote,
    clock,
  );
  onDown = (reason) => ledger.lost(reason);
  onTestFinished(() => ledger[Symbol.asyncDispose]());
  return { ledger, remote, away, back };
};

/** Two more members, which only say that they are there. */
const joinedByOthers = async (world: World): Promise<RedisLedger[]> => {
  const redis = await connected(world.server.url);
  const others = ['b', 'c'].map((replica) => replicaOf(redis, world.clock, { keyPrefix: world.keyPrefix, replica }));
  for (const other of others) await other.reserve(ask(0));
  return others;
};

/** Lets clocks and connections go on until it is so. */
const until = async (clock: ShiftClock, isSo: () => boolean) => {
  for (let i = 0; i < 200 && !isSo(); i += 1) {
    await clock.advance(50);
    await sleep(10);
  }
  expect(isSo()).toBe(true);
};

/** Takes slots, a few at a time, for so many ms. */
const slotsDuring = async ({ ledger }: Replica, clock: ShiftClock, forMs: number): Promise<Slot[]> => {
  const end = clock.monotonic() + forMs;
  const taken: Slot[] = [];
  while (clock.monotonic() < end) {
    const { slots, askAgainAt } = await ledger.reserve(ask(4));
    taken.push(...slots);
    const next = Math.max(slots.at(-1)?.at ?? 0, askAgainAt ?? 0);
    await clock.advance(Math.max(1, next - clock.monotonic()));
  }
  return taken;
};

const faults: [string, (world: World) => Promise<void> | void, (world: World) => Promise<void> | void][] = [
  ['refuses', ({ proxy }) => proxy.refuse(), ({ proxy }) => proxy.accept()],
  ['hangs', ({ proxy }) => void (proxy.swallows = true), ({ proxy }) => void (proxy.swallows = false)],
  ['is paused', ({ server }) => server.signal('SIGSTOP'), ({ server }) => server.signal('SIGCONT')],
  ['is slower than it may be', ({ proxy }) => void (proxy.delayMs = 150), ({ proxy }) => void (proxy.delayMs = 0)],
  ['is killed, and restarted empty', ({ server }) => server.stop(), ({ server }) => server.restart()],
  ['cuts its answer', ({ proxy }) => void (proxy.cutAfter = 5), () => {}],
  [
    'has become a replica',
    async ({ server }) => void (await (await connected(server.url)).call('REPLICAOF', '127.0.0.1', '1')),
    async ({ server }) => void (await (await connected(server.url)).call('REPLICAOF', 'NO', 'ONE')),
  ],
];

describe('the shared account', () => {
  it.each(faults)('goes on with its own share while Redis %s, and comes back', async (_, breakIt, mendIt) => {
    const world = await setUp();
    const { clock } = world;
    const replica = await replicaIn(world);
    await joinedByOthers(world);
    await clock.advance(1500);
    await replica.ledger.reserve(ask(1));

    await breakIt(world);
    const startedAt = performance.now();
    const first = await replica.ledger.reserve(ask(4));
    expect(performance.now() - startedAt).toBeLessThan(400);
    expect(replica.ledger.isAway).toBe(true);
    expect(first.slots).toEqual([]);
    expect(first.share).toBeCloseTo(1 / 3, 5);

    if (replica.back.length === 0 && world.proxy.cutAfter === undefined) {
      const awayAt = clock.monotonic();
      const taken = await slotsDuring(replica, clock, 4000);
      // What answers again by itself (a cut connection) may be back by now.
      if (replica.ledger.isAway) {
        expect((taken[0]?.at ?? 0) - awayAt).toBeGreaterThan(WINDOW_MS - 100);
        for (const [i, { at }] of taken.entries()) {
          const gap = at - (taken[i - 1]?.at ?? at - OWN_PACE_MS);
          expect(gap).toBeGreaterThan(OWN_PACE_MS - 1);
        }
        expect(taken.length).toBeGreaterThan(2900 / OWN_PACE_MS - 3);
      }
    }

    await mendIt(world);
    await until(clock, () => !replica.ledger.isAway);
    await clock.advance(1600);
    expect((await replica.ledger.reserve(ask(30))).slots).toHaveLength(30);
    expect([replica.away.length, replica.back.length]).toEqual([1, 1]);
    await replica.ledger[Symbol.asyncDispose]();
    expect(clock.timers).toBe(0);
  });

  // A machine that is busy with other tests may itself stall for longer than a command may take.
  it('stays with a Redis that takes 100 ms to answer', { retry: 2 }, async () => {
    const world = await setUp();
    const replica = await replicaIn(world);
    await world.clock.advance(1500);
    world.proxy.delayMs = 50;
    for (let i = 0; i < 5; i += 1) {
      const { slots } = await replica.ledger.reserve(ask(2));
      expect(replica.away).toEqual([]);
      expect(slots).toHaveLength(2);
    }
  });

  it('does not hold up the others while it alone reaches Redis too slowly', async () => {
    const world = await setUp();
    const { clock } = world;
    const replica = await replicaIn(world);
    const [other] = await joinedByOthers(world);
    await clock.advance(1500);
    world.proxy.delayMs = 150;
    await replica.ledger.reserve(ask(1));
    for (let i = 0; i < 20; i += 1) {
      await clock.advance(200);
      await sleep(30);
    }
    const grant = await other?.reserve(ask(1));
    expect((grant?.slots[0]?.at ?? 0) - clock.monotonic()).toBeLessThan(50);
  });

  it('never tells Redis of slots of its own', async () => {
    const world = await setUp();
    const { clock } = world;
    const replica = await replicaIn(world, 'a', 1);
    await clock.advance(1500);
    world.proxy.refuse();
    await replica.ledger.reserve(ask(1));
    const [own, other, third] = await slotsDuring(replica, clock, 1500);
    world.proxy.accept();
    await until(clock, () => !replica.ledger.isAway);
    const told = [
      vi.spyOn(replica.remote, 'giveBack'),
      vi.spyOn(replica.remote, 'amend'),
      vi.spyOn(replica.remote, 'refused'),
    ];
    if (!own || !other || !third) throw new Error('no slots of its own');
    replica.ledger.giveBack([own], EGRESS);
    replica.ledger.amend(other, clock.monotonic(), EGRESS);
    replica.ledger.refused(third, EGRESS);
    for (const spy of told) expect(spy).not.toHaveBeenCalled();
  });

  it('never exceeds the allowance while three replicas lose Redis and come back', async () => {
    const world = await setUp();
    const { clock, server } = world;
    const replicas = [await replicaIn(world, 'a'), await replicaIn(world, 'b'), await replicaIn(world, 'c')];
    const held = replicas.map((): Slot[] => []);
    const askAgainAt = [0, 0, 0];
    const used: number[] = [];
    const drive = async (forMs: number) => {
      for (const end = clock.monotonic() + forMs; clock.monotonic() < end;) {
        for (const [i, { ledger }] of replicas.entries()) {
          const now = clock.monotonic();
          const due = held[i]?.filter(({ at }) => at <= now) ?? [];
          used.push(...due.map(({ at }) => at));
          held[i] = held[i]?.filter(({ at }) => at > now) ?? [];
          if ((held[i]?.length ?? 0) > 2 || now < (askAgainAt[i] ?? 0)) continue;
          const grant = await ledger.reserve({ ...ask(2), clients: { proven: 3, unproven: 0 } });
          askAgainAt[i] = grant.askAgainAt ?? 0;
          held[i]?.push(...grant.slots);
        }
        await clock.advance(20);
      }
    };
    await drive(4000);
    const before = used.length;
    await server.stop();
    await drive(4000);
    expect(replicas.every(({ ledger }) => ledger.isAway)).toBe(true);
    await server.restart();
    await sleep(300);
    await drive(6000);
    expect(replicas.every(({ ledger }) => !ledger.isAway)).toBe(true);
    expect(mostIn(WINDOW_MS - BLUR_MS, used)).toBeLessThanOrEqual(30);
    expect(before).toBeGreaterThan(65);
    expect(used.length).toBeGreaterThan(65 + 50 + 100);
  });

  it('goes alone without a word of Redis, with the number of replicas that it was told', async () => {
    const world = await setUp();
    world.proxy.refuse();
    const { clock } = world;
    const remote: RedisLedger = {
      reserve: () => Promise.reject(new Error('not there')),
      giveBack: () => Promise.reject(new Error('not there')),
      amend: () => Promise.reject(new Error('not there')),
      refused: () => Promise.reject(new Error('not there')),
      leave: () => Promise.reject(new Error('not there')),
    };
    const ledger = createSharedLedger({ allowances: thirty, egressScope: 'egress', replicas: 4 }, remote, clock);
    expect((await ledger.reserve(ask(1))).share).toBe(0.25);
    await clock.advance(5000);
    const { slots } = await ledger.reserve(ask(1));
    expect(slots).toHaveLength(1);
    ledger.refused({ id: 'of before', at: clock.monotonic() }, EGRESS);
    await ledger[Symbol.asyncDispose]();
    expect(clock.timers).toBe(0);
  });

  it('lets a replica that was away for a moment come back without holding up anybody', async () => {
    const world = await setUp();
    const { clock } = world;
    const replica = await replicaIn(world);
    const [other] = await joinedByOthers(world);
    await clock.advance(1500);
    world.proxy.cutAfter = 5;
    await replica.ledger.reserve(ask(1));
    const awayAt = clock.monotonic();
    while (replica.ledger.isAway && clock.monotonic() < awayAt + 900) await sleep(10);
    expect(replica.ledger.isAway).toBe(false);
    const grant = await other?.reserve(ask(1));
    expect((grant?.slots[0]?.at ?? 0) - clock.monotonic()).toBeLessThan(50);
  });
});
