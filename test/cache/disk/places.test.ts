import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Places, printOf } from '../../../src/cache/disk/places.ts';
import { type CacheKey, covers, type Selector, selectorOf, textOf } from '../../../src/cache/entry.ts';

const keyOf = (number: number): CacheKey => ({
  app: `org/${number % 3}`,
  file: `file-${number % 500}`,
  variant: `${number % 7}`,
});

const key = fc.integer({ min: 0, max: 10_500 }).map(keyOf);
const move = fc.oneof(
  { weight: 6, arbitrary: fc.record({ put: key, segment: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ erase: key }) },
  fc.record({ erase: key.map(({ app, file }): Selector => ({ app, file })) }),
  fc.record({ fill: fc.integer({ min: 0, max: 5000 }) }),
  fc.record({ leave: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ erase: key.map(({ app }): Selector => ({ app })) }),
);

it('holds what a map would hold, whatever is put, erased and left', () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
      const places = new Places();
      const model = new Map<string, { segment: number; offset: number; bytes: number }>();
      let offset = 0;
      const put = (key: CacheKey, segment: number) => {
        offset += 1;
        const place = { segment, offset, bytes: offset % 1000 };
        places.set(printOf(key), place);
        model.set(textOf(key), place);
      };
      const removeWhere = (isOut: (text: string) => boolean) => {
        const out = [...model.keys()].filter(isOut);
        for (const text of out) model.delete(text);
        return out.length;
      };
      for (const move of moves) {
        if ('put' in move) put(move.put, move.segment);
        else if ('fill' in move) for (let n = 0; n < 600; n += 1) put(keyOf(move.fill + n), 1 + (n % 5));
        else if ('leave' in move) {
          expect(places.leave(move.leave)).toBe(removeWhere((text) => model.get(text)?.segment === move.leave));
        } else {
          const isOut = (text: string) => covers(move.erase, selectorOf(JSON.parse(text)) ?? {});
          expect(places.erase(move.erase)).toBe(removeWhere(isOut));
        }
        expect(places.size).toBe(model.size);
      }
      for (let number = 0; number < 10_500; number += 13) {
        const key = keyOf(number);
        expect(places.get(printOf(key))).toEqual(model.get(textOf(key)));
      }
      expect(places.erase({})).toBe(model.size);
      expect(places.size).toBe(0);
    }),
    { numRuns: 40 },
  );
});
