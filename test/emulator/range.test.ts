import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseRange } from '../../src/emulator/range.ts';

test.each([
  [undefined, 10, undefined],
  ['bytes=0-', 10, { start: 0, end: 9 }],
  ['bytes=2-4', 10, { start: 2, end: 4 }],
  ['bytes=2-400', 10, { start: 2, end: 9 }],
  ['bytes=9-9', 10, { start: 9, end: 9 }],
  ['bytes=-3', 10, { start: 7, end: 9 }],
  ['bytes=-30', 10, { start: 0, end: 9 }],
  ['BYTES=1-1', 10, { start: 1, end: 1 }],
  ['bytes=10-', 10, 'outside'],
  ['bytes=-0', 10, 'outside'],
  ['bytes=0-', 0, 'outside'],
  ['bytes=-5', 0, 'outside'],
  ['bytes=4-2', 10, undefined],
  ['bytes=-', 10, undefined],
  ['bytes=0-1,4-5', 10, undefined],
  ['items=0-1', 10, undefined],
  ['nonsense', 10, undefined],
])('%s of %i bytes is %j', (header, size, range) => {
  expect(parseRange(header, size)).toEqual(range);
});

test('whatever is asked for, what is served lies within the file', () => {
  const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=\d{0,20}-\d{0,20}$/));
  fc.assert(
    fc.property(header, fc.nat(1000), (text, size) => {
      const range = parseRange(text, size);
      if (typeof range !== 'object') return true;
      return range.start >= 0 && range.start <= range.end && range.end < size;
    }),
  );
});
