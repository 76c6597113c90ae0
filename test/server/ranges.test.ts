import { describe, expect, it } from 'vitest';
import { createRanges } from '../../src/server/ranges.ts';

describe('a list of addresses and ranges', () => {
  const has = createRanges(['192.0.2.1', '10.1.2.3/8', '2001:db8::/32', '::1']);

  it.each([
    ['192.0.2.1', true],
    ['192.0.2.2', false],
    ['10.255.0.1', true],
    ['11.0.0.1', false],
    ['::ffff:10.0.0.1', true],
    ['::ffff:11.0.0.1', false],
    ['2001:db8:1::5', true],
    ['2001:db9::', false],
    ['::1', true],
    ['::1%lo', true],
    ['', false],
    ['unknown', false],
  ])('%s is on it: %s', (address, isOn) => {
    expect(has(address)).toBe(isOn);
  });

  it('that is empty holds nobody', () => {
    expect(createRanges([])('127.0.0.1')).toBe(false);
  });
});
