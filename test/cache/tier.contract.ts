import { describe, expect, it } from 'vitest';
import type { CacheKey, Entry, Selector } from '../../src/cache/entry.ts';
import type { FakeClock } from '../kit/fake-clock.ts';
import { DAY_MS, entryOf } from './kit.ts';

/** What the tiers have in common. `settle` waits until what was put is where it is kept. */
export type Tier = {
  get(key: CacheKey): Entry | undefined | Promise<Entry | undefined>;
  put(key: CacheKey, entry: Entry): void;
  erase(selector: Selector): void;
  settle(): Promise<void>;
};

const key = (file: string, variant = '1', app = 'org/app') => ({ app, file, variant });

/** What every tier promises. */
export function tierContract(name: string, open: () => Promise<{ tier: Tier; clock: FakeClock }>): void {
  // oxlint-disable-next-line vitest/valid-title -- a contract is run once for each tier, and named for it
  describe(name, () => {
    it('gives back what was put, byte by byte and field by field', async () => {
      const { tier } = await open();
      const entry = {
        storedAt: 1_000_000,
        fields: { a: '', 'content-type': 'ä\n"' },
        body: Buffer.from([0, 255, 13, 10]),
      };
      tier.put(key('f'), entry);
      await tier.settle();
      expect(await tier.get(key('f'))).toEqual(entry);
      expect(await tier.get(key('g'))).toBeUndefined();
    });

    it('keeps an entry without any bytes', async () => {
      const { tier } = await open();
      tier.put(key('f'), { storedAt: 1_000_000, fields: {}, body: Buffer.alloc(0) });
      await tier.settle();
      expect(await tier.get(key('f'))).toEqual({ storedAt: 1_000_000, fields: {}, body: Buffer.alloc(0) });
    });

    it('gives back the last of what was put', async () => {
      const { tier } = await open();
      for (const name of ['first', 'second']) {
        tier.put(key('f'), entryOf(name));
        await tier.settle();
      }
      expect(await tier.get(key('f'))).toEqual(entryOf('second'));
    });

    it('keeps an entry for its lifetime from when it was stored, not from when it was put or asked for', async () => {
      const { tier, clock } = await open();
      tier.put(key('f'), entryOf('f', 10, clock.now() - DAY_MS + 1000));
      await tier.settle();
      await clock.advance(999);
      expect(await tier.get(key('f'))).toBeDefined();
      await clock.advance(1);
      expect(await tier.get(key('f'))).toBeUndefined();
    });

    it.each<[string, Selector, string[]]>([
      ['one entry', key('f', '1'), ['f2', 'g', 'other']],
      ['a file', { app: 'org/app', file: 'f' }, ['g', 'other']],
      ['an app', { app: 'org/app' }, ['other']],
      ['everything', {}, []],
      ['what is not there', key('f', '3'), ['f1', 'f2', 'g', 'other']],
    ])('erases %s, and no more', async (_what, selector, left) => {
      const { tier } = await open();
      const keys = { f1: key('f', '1'), f2: key('f', '2'), g: key('g'), other: key('f', '1', 'org/other') };
      for (const [name, each] of Object.entries(keys)) tier.put(each, entryOf(name));
      await tier.settle();
      tier.erase(selector);
      await tier.settle();
      const found = await Promise.all(
        Object.entries(keys).map(async ([name, each]) => ((await tier.get(each)) ? [name] : [])),
      );
      expect(found.flat()).toEqual(left);
      tier.put(keys.f1, entryOf('again'));
      expect(await tier.get(keys.f1)).toEqual(entryOf('again'));
    });
  });
}
