import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pending } from '../../../src/cache/disk/pending.ts';
import { printOf } from '../../../src/cache/disk/places.ts';
import { draft } from '../../../src/cache/disk/record.ts';
import { type CacheKey, type Selector, textOf } from '../../../src/cache/entry.ts';
import { entryOf, keyOf } from '../kit.ts';

const LIMITS = { maxBytes: 100_000, maxErasures: 100 };
const BATCH = { maxBytes: 1000, maxRecords: 3 };
const APP = { app: 'org/app' };

const put = (pending: Pending, key: CacheKey, name: string | number) => {
  const entry = entryOf(name);
  const record = draft({ kind: 'put', key, entry });
  if (record) pending.put(key, printOf(key), entry, record);
};
const shown = (pending: Pending, key: CacheKey) => {
  const op = pending.find(textOf(key));
  return op?.kind === 'put' ? op.entry.fields['name'] : op?.kind;
};

describe('what is pending', () => {
  it('is read while it waits, while it is written, and when that has failed', () => {
    const pending = new Pending(LIMITS);
    put(pending, keyOf(1), 'one');
    expect(shown(pending, keyOf(1))).toBe('one');
    pending.take(BATCH);
    expect(shown(pending, keyOf(1))).toBe('one');
    pending.failed();
    expect(shown(pending, keyOf(1))).toBe('one');
    pending.take(BATCH);
    pending.done();
    expect(shown(pending, keyOf(1))).toBeUndefined();
  });

  it('is written in batches, in order, and again in order after a failure', () => {
    const pending = new Pending(LIMITS);
    for (let number = 0; number < 8; number += 1) put(pending, keyOf(number), number);
    const names = () => pending.take(BATCH).map((op) => (op.kind === 'put' ? op.entry.fields['name'] : ''));
    expect(names()).toEqual(['0', '1', '2']);
    put(pending, keyOf(1), 'newer');
    pending.failed();
    expect(names()).toEqual(['0', '2', '3']);
    pending.done();
    expect(names()).toEqual(['4', '5', '6']);
    pending.done();
    expect(names()).toEqual(['7', 'newer']);
  });

  it('takes a record that is larger than a batch, alone', () => {
    const pending = new Pending(LIMITS);
    const entry = entryOf('large', 5000);
    const record = draft({ kind: 'put', key: keyOf(1), entry });
    if (record) pending.put(keyOf(1), printOf(keyOf(1)), entry, record);
    put(pending, keyOf(2), 2);
    expect(pending.take(BATCH)).toHaveLength(1);
  });

  it('tells whoever has erased something only when that, or what came in its place, is written', async () => {
    const pending = new Pending(LIMITS);
    const heard: boolean[] = [];
    const hear = async (told: Promise<boolean>) => {
      heard.push(await told);
    };
    const first = hear(pending.erase(keyOf(1)));
    put(pending, keyOf(1), 'again');
    const second = hear(pending.erase(APP));
    expect(pending.size).toBe(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toEqual([]);
    pending.take(BATCH);
    pending.done();
    await Promise.all([first, second]);
    expect(heard).toEqual([true, true]);
    const third = pending.erase({});
    pending.take(BATCH);
    pending.failed();
    await expect(third).resolves.toBe(false);
    expect(pending.erasures()).toEqual([{}]);
  });

  const key = fc.integer({ min: 0, max: 3 }).map(keyOf);
  const selector = fc.oneof(key, fc.constant<Selector>(APP), fc.constant<Selector>({}));
  const move = fc.oneof(
    fc.record({ put: key }),
    fc.record({ erase: selector }),
    fc.constantFrom<{ end: 'done' | 'failed' }[]>({ end: 'done' }, { end: 'failed' }),
    fc.constant({ drop: true }),
  );

  it('gives all its room back, whatever became of what has waited', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(move, fc.boolean())), (moves) => {
        const pending = new Pending(LIMITS);
        let isFlying = false;
        for (const [move, takes] of moves) {
          if (takes && !isFlying) isFlying = pending.take(BATCH).length > 0;
          if ('put' in move) put(pending, move.put, 'x');
          else if ('erase' in move) void pending.erase(move.erase);
          else if ('drop' in move) pending.dropPuts();
          else if (isFlying) {
            pending[move.end]();
            isFlying = false;
          }
        }
        if (isFlying) pending.done();
        while (pending.take(BATCH).length > 0) pending.done();
        expect([pending.hasRoom(LIMITS.maxBytes), pending.isErasing, pending.size]).toEqual([true, false, 0]);
      }),
    );
  });
});
