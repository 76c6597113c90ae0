import { describe, expect, it } from 'vitest';
import { createDigests } from '../../src/access/digest.ts';

const KEY = 'k'.repeat(32);

describe('digests', () => {
  it('are the same at all replicas that have the same key', () => {
    expect(createDigests(KEY).ofToken('o/a', 'token')).toBe(createDigests(KEY).ofToken('o/a', 'token'));
  });

  it('are nobody else’s under another key, or under none', () => {
    const all = [createDigests(KEY), createDigests(`${KEY}x`), createDigests(), createDigests()];
    expect(new Set(all.map((digests) => digests.ofToken('o/a', 'token'))).size).toBe(4);
  });

  it('differ wherever the parts differ, however they are cut', () => {
    const digests = createDigests(KEY);
    const all = [
      digests.ofToken('o/a', 'bc'),
      digests.ofToken('o/ab', 'c'),
      digests.ofToken('o/a', 'b'),
      digests.ofIdentity('o/a', 'bc'),
      digests.ofSecret('o/a', 'b', 'c'),
      digests.ofSecret('o/a', 'bc', ''),
      digests.ofSecret('o/a', '', 'bc'),
      digests.ofSecret('o/ab', 'c', ''),
      digests.ofSecret('o/a', 'b', '1:c'),
      digests.ofSecret('o/a', '1:b', 'c'),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(all.every((digest) => /^[\w-]{43}$/.test(digest))).toBe(true);
  });
});
