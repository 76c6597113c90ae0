import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFairQueue, type Place } from '../../src/quota/fair-queue.ts';

type Waiter = Place & { name: string };

const waiter = (name: string, more: Partial<Place> = {}): Waiter => ({
  name,
  client: name.charAt(0),
  app: 'o/a',
  bearer: name,
  isProven: true,
  priority: 0,
  ...more,
});

const queueOf = (waiters: Waiter[], config: { unprovenShare?: number; weights?: Record<string, number> } = {}) => {
  const queue = createFairQueue<Waiter>({ unprovenShare: 0.2, weights: {}, ...config });
  for (const each of waiters) queue.push(each);
  return queue;
};

const drain = (queue: ReturnType<typeof queueOf>) => {
  const names: string[] = [];
  for (let next = queue.shift(); next; next = queue.shift()) names.push(next.name);
  return names;
};

describe('the fair queue', () => {
  it('lets clients take turns, however many of one wait', () => {
    expect(drain(queueOf(['a1', 'a2', 'a3', 'b1', 'b2', 'c1'].map((name) => waiter(name))))).toEqual([
      'a1',
      'b1',
      'c1',
      'a2',
      'b2',
      'a3',
    ]);
  });

  it('serves apps by weight, and their clients in turn within', () => {
    const waiters = Array.from({ length: 9 }, (_, i) => [
      waiter(`x${i}`, { app: 'big' }),
      waiter(`y${i}`, { app: 'small' }),
    ]).flat();
    const served = drain(queueOf(waiters, { weights: { big: 2 } })).slice(0, 9);
    expect(served.filter((name) => name.startsWith('x'))).toHaveLength(6);
  });

  it('does not let an app save up turns while it is away', () => {
    const queue = queueOf(Array.from({ length: 20 }, (_, i) => waiter(`x${i}`, { app: 'busy' })));
    for (let i = 0; i < 10; i += 1) queue.shift();
    for (let i = 0; i < 4; i += 1) queue.push(waiter(`y${i}`, { app: 'late' }));
    expect(
      drain(queue)
        .slice(0, 6)
        .filter((name) => name.startsWith('y')).length,
    ).toBeLessThanOrEqual(3);
  });

  // Its line empties with each turn: forgotten, the turn would be had again before anybody else's.
  it.each([
    ['the same weight', {}, 10],
    ['three times the weight', { busy: 3 }, 15],
  ])('does not let an app that asks one thing at a time starve another of %s', (_case, weights, turns) => {
    const queue = queueOf(
      Array.from({ length: 30 }, (_, i) => waiter(`x${i}`, { app: 'busy' })),
      { weights },
    );
    let served = 0;
    for (let i = 0; i < 20; i += 1) {
      if (queue.waitingOf({ app: 'single', client: 'y' }) === 0) queue.push(waiter('y', { app: 'single' }));
      if (queue.shift()?.app === 'busy') served += 1;
    }
    expect(served).toBeGreaterThanOrEqual(turns - 1);
  });

  it('gives unproven credentials a fifth of the turns while proven ones wait', () => {
    const waiters = Array.from({ length: 40 }, (_, i) => [
      waiter(`good${i}`, { client: 'good' }),
      waiter(`bad${i}`, { client: `bad${i}`, isProven: false }),
    ]).flat();
    const served = drain(queueOf(waiters)).slice(0, 40);
    expect(served.filter((name) => name.startsWith('bad'))).toHaveLength(8);
  });

  it('counts all who wait with credentials as proven as soon as these are accepted', () => {
    const bad = Array.from({ length: 20 }, (_, i) => waiter(`bad${i}`, { client: `bad${i}`, isProven: false }));
    const mine = Array.from({ length: 5 }, (_, i) =>
      waiter(`mine${i}`, { client: `m${i}`, bearer: 'mine', isProven: false }),
    );
    const queue = queueOf([...bad, ...mine]);
    expect([queue.prove('mine'), queue.prove('mine'), queue.prove('other')]).toEqual([true, false, false]);
    expect([queue.size, queue.provenClients]).toEqual([25, 5]);
    expect(
      drain(queue)
        .slice(0, 6)
        .filter((name) => name.startsWith('mine')),
    ).toHaveLength(5);
  });

  it('gives unproven credentials every turn when nobody else waits', () => {
    expect(drain(queueOf([waiter('a1', { isProven: false }), waiter('b1', { isProven: false })]))).toEqual([
      'a1',
      'b1',
    ]);
  });

  it('serves a better class first, where there are classes', () => {
    const waiters = [
      waiter('u1', { priority: 2 }),
      waiter('d1', { priority: 1 }),
      waiter('t1'),
      waiter('u2', { priority: 2 }),
    ];
    expect(drain(queueOf(waiters))).toEqual(['t1', 'd1', 'u1', 'u2']);
  });

  it('serves first whoever had its turn in vain', () => {
    const queue = queueOf([waiter('a1'), waiter('b1')]);
    const tried = queue.shift();
    queue.push(waiter('c1'));
    if (tried) queue.pushFirst(tried);
    expect(drain(queue)).toEqual(['a1', 'b1', 'c1']);
  });

  it('takes the next of one app where a slot is its alone, and lets the others catch up a few turns at most', () => {
    const queue = queueOf([]);
    for (let i = 0; i < 40; i += 1) {
      queue.push(waiter(`x${i}`, { app: 'x', client: `x${i}` }));
      queue.push(waiter(`y${i}`, { app: 'y', client: `y${i}` }));
    }
    const early = Array.from({ length: 20 }, () => queue.shift('y')?.name);
    expect(early).toEqual(Array.from({ length: 20 }, (_, i) => `y${i}`));
    const after = drain(queue).slice(0, 10);
    expect(after.filter((name) => name.startsWith('x')).length).toBeGreaterThanOrEqual(6);
    expect(after.filter((name) => name.startsWith('x')).length).toBeLessThanOrEqual(8);
  });

  it('forgets whoever left', () => {
    const [a1, a2, b1] = [waiter('a1'), waiter('a2'), waiter('b1')];
    const queue = queueOf([a1, a2, b1]);
    expect([queue.remove(a1), queue.remove(a1)]).toEqual([true, false]);
    expect([queue.size, queue.clients]).toEqual([2, 2]);
    expect(drain(queue)).toEqual(['a2', 'b1']);
  });

  const places = fc.record({
    client: fc.constantFrom('a', 'b', 'c', 'd'),
    app: fc.constantFrom('x', 'y'),
    bearer: fc.constantFrom('p', 'q'),
    isProven: fc.boolean(),
    priority: fc.constantFrom(0, 0, 0, 1),
  });
  const moves = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('push' as const), place: places }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('shift' as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('shift' as const), app: fc.constantFrom('x', 'y') }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('retry' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), which: fc.nat(50) }) },
    ),
    { maxLength: 120 },
  );

  it('loses nobody and serves nobody twice, whoever comes, leaves and comes back', () => {
    fc.assert(
      fc.property(moves, (steps) => {
        const queue = queueOf([]);
        const waiting: Waiter[] = [];
        for (const [i, step] of steps.entries()) {
          if (step.kind === 'push') {
            const came = { name: `${i}`, ...step.place };
            waiting.push(came);
            queue.push(came);
          } else if (step.kind === 'leave') {
            const [left] = waiting.splice(step.which % (waiting.length || 1), 1);
            if (left) expect(queue.remove(left)).toBe(true);
          } else {
            const app = 'app' in step ? step.app : undefined;
            const next = queue.shift(app);
            const could = waiting.filter((each) => app === undefined || each.app === app);
            expect(next === undefined).toBe(could.length === 0);
            if (app !== undefined && next) expect(next.app).toBe(app);
            if (!next) continue;
            expect(waiting).toContain(next);
            if (step.kind === 'retry') queue.pushFirst(next);
            else waiting.splice(waiting.indexOf(next), 1);
          }
          expect(queue.size).toBe(waiting.length);
          expect(queue.sizeOf('x')).toBe(waiting.filter((each) => each.app === 'x').length);
        }
        // Whom it would serve is whom it serves.
        const order = [...queue.order()].map(({ name }) => name);
        const served = drain(queue);
        expect(served).toEqual(order);
        expect(served.toSorted()).toEqual(waiting.map(({ name }) => name).toSorted());
        expect(queue.clients).toBe(0);
      }),
    );
  });

  it('starves nobody: whoever waits is served within as many turns as it was told at its coming, and a lane more', () => {
    fc.assert(
      fc.property(fc.array(places, { minLength: 1, maxLength: 60 }), places, (others, mine) => {
        const flat = (place: Place) => ({ ...place, priority: 0 });
        const queue = queueOf(others.map((place, i) => ({ name: `other${i}`, ...flat(place), isProven: true })));
        const me = { name: 'me', ...flat(mine), isProven: true };
        const told = queue.ahead(me);
        queue.push(me);
        expect(drain(queue).indexOf('me')).toBeLessThanOrEqual(told + 1);
      }),
    );
  });
});
