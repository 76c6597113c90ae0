import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createPartSums, type PartSums } from '../../src/quota/part-sums.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';

const APP = 'o/a';
const HOUR = 3_600_000;
let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
  return () => redis[Symbol.asyncDispose]();
});
let prefixes = 0;

/** Waits until Redis is connected. */
async function begun(sums: PartSums, id: string): Promise<void> {
  for (let i = 0; i < 400 && !(await sums.begin(APP, id)); i += 1) await new Promise((done) => setTimeout(done, 5));
}

const opened = (sums: PartSums): PartSums => {
  onTestFinished(() => sums[Symbol.dispose]());
  return sums;
};

describe.each([
  ['of this process', () => createPartSums(undefined, systemClock)],
  ['in Redis', () => createPartSums({ url: redis.url, keyPrefix: `p${(prefixes += 1)}:` }, systemClock)],
])('the sums %s', (_where, create) => {
  it('let parts through up to the size of a file, and refuse what is beyond it', async () => {
    const sums = opened(create());
    await begun(sums, 'u');
    const verdicts = [];
    for (const bytes of [60, 41, 40, 1, 0]) verdicts.push(await sums.add(APP, 'u', bytes, 100));
    expect(verdicts).toEqual(['added', 'too-large', 'added', 'too-large', 'added']);
  });

  it('hold when all parts come at once', async () => {
    const sums = opened(create());
    await begun(sums, 'u');
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => sums.add(APP, 'u', 7, 100)));
    expect(verdicts.filter((verdict) => verdict === 'added')).toHaveLength(14);
  });

  it('keep uploads and apps apart', async () => {
    const sums = opened(create());
    await begun(sums, 'u');
    await sums.begin(APP, 'v');
    await sums.begin('o/b', 'u');
    await sums.add(APP, 'u', 100, 100);
    expect(await sums.add(APP, 'u', 1, 100)).toBe('too-large');
    expect([await sums.add(APP, 'v', 100, 100), await sums.add('o/b', 'u', 100, 100)]).toEqual(['added', 'added']);
  });

  it('know no upload that was not begun, or is over', async () => {
    const sums = opened(create());
    await begun(sums, 'u');
    expect(await sums.add(APP, 'other', 1, 100)).toBe('unknown');
    await sums.end(APP, 'u');
    expect(await sums.add(APP, 'u', 1, 100)).toBe('unknown');
    await sums.giveBack(APP, 'u', 50);
    expect(await sums.add(APP, 'u', 1, 100)).toBe('unknown');
  });

  it('take back what was refused, and begin no upload twice', async () => {
    const sums = opened(create());
    await begun(sums, 'u');
    await sums.add(APP, 'u', 80, 100);
    await sums.giveBack(APP, 'u', 30);
    expect(await sums.begin(APP, 'u')).toBe(true);
    expect([await sums.add(APP, 'u', 51, 100), await sums.add(APP, 'u', 50, 100)]).toEqual(['too-large', 'added']);
  });
});

describe('sums that replicas share', () => {
  it('are one, whichever gets a part', async () => {
    const where = { url: redis.url, keyPrefix: 'shared:' };
    const [a, b] = [1, 2].map(() => opened(createPartSums(where, systemClock)));
    await begun(a!, 'u');
    await begun(b!, 'u');
    const verdicts = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 ? a! : b!).add(APP, 'u', 20, 100)));
    expect(verdicts.filter((verdict) => verdict === 'added')).toHaveLength(5);
  });

  it('let nothing through while Redis is away', async () => {
    await using server = await startRedis();
    const sums = opened(createPartSums({ url: server.url, keyPrefix: '' }, systemClock));
    await begun(sums, 'u');
    expect(await sums.add(APP, 'u', 1, 100)).toBe('added');
    await server.stop();
    expect([await sums.begin(APP, 'v'), await sums.add(APP, 'u', 1, 100)]).toEqual([false, 'away']);
    await sums.giveBack(APP, 'u', 1);
    await sums.end(APP, 'u');
  });
});

describe('sums of one process', () => {
  it('are bounded in number; none is given up for a new one until it is old', async () => {
    const clock = createFakeClock();
    const sums = createPartSums(undefined, clock, { maxUploads: 2 });
    expect([await sums.begin(APP, 'a'), await sums.begin(APP, 'b'), await sums.begin(APP, 'c')]).toEqual([
      true,
      true,
      false,
    ]);
    await clock.advance(HOUR - 1);
    await sums.add(APP, 'a', 60, 100);
    await clock.advance(1);
    expect(await sums.begin(APP, 'c')).toBe(true);
    expect([await sums.add(APP, 'a', 50, 100), await sums.add(APP, 'b', 1, 100)]).toEqual(['too-large', 'unknown']);
    await clock.advance(HOUR);
    expect(await sums.add(APP, 'a', 1, 100)).toBe('unknown');
  });
});
