import { describe, expect, it } from 'vitest';
import { goalOf, isListed, readLocation, redirectMode, redirectsSchema } from '../../src/upstream/redirects.ts';

describe('the list of hosts', () => {
  it.each([
    ['https://a.example.com/x', 'a.example.com', true],
    ['https://A.EXAMPLE.com/x', 'a.example.com', true],
    ['https://a.example.com:443/x', 'a.example.com', true],
    ['https://a.example.com:444/x', 'a.example.com', false],
    ['https://a.example.com:444/x', 'a.example.com:444', true],
    ['https://a.example.com/x', 'a.example.com:444', false],
    ['https://b.a.example.com/x', 'a.example.com', false],
    ['https://b.a.example.com/x', '*.example.com', true],
    ['https://a.example.com/x', '*.example.com', true],
    ['https://example.com/x', '*.example.com', false],
    ['https://evilexample.com/x', '*.example.com', false],
    ['https://.example.com/x', '*.example.com', false],
    ['https://a.example.com./x', 'a.example.com', false],
    ['https://a.example.com.evil.com/x', 'a.example.com', false],
  ])('%s is on %s: %s', (url, entry, expected) => {
    expect(isListed(new URL(url), [entry])).toBe(expected);
  });

  it.each([
    '10.0.0.1',
    '[::1]',
    'localhost',
    '*',
    '*.com',
    'https://a.com',
    'a.com/x',
    'a.*.com',
    'a..com',
    ' a.com',
    'a.com:x',
    '1.2.3.4:443',
  ])('cannot have %s on it', (host) => {
    expect(redirectsSchema.safeParse({ hosts: [host] }).success).toBe(false);
  });

  it('is in lower case', () => {
    expect(redirectsSchema.parse({ hosts: ['Files.Example.COM:8443'] }).hosts).toEqual(['files.example.com:8443']);
  });
});

describe('the mode', () => {
  it('is to refuse, unless hosts are listed or it is said', () => {
    const modeOf = (input: object) => redirectMode(redirectsSchema.parse(input));
    expect(modeOf({})).toBe('refuse');
    expect(modeOf({ hosts: ['a.example.com'] })).toBe('follow');
    expect(modeOf({ hosts: ['a.example.com'], mode: 'pass' })).toBe('pass');
    expect(modeOf({ mode: 'pass' })).toBe('pass');
  });

  it('cannot be to follow nowhere', () => {
    expect(redirectsSchema.safeParse({ mode: 'follow' }).success).toBe(false);
  });
});

describe('a Location', () => {
  it('is read if there is one, in the characters of a URL', () => {
    expect(readLocation(['Server', 'x', 'LOCATION', 'https://a/%20'])).toBe('https://a/%20');
    expect(readLocation(['Server', 'Location'])).toBeUndefined();
    for (const raw of [
      ['Location', ''],
      ['Location', 'a', 'location', 'a'],
      ['Location', 'https://a/ b'],
      ['Location', 'https://a\\b'],
      ['Location', 'https://a/\u00e9'],
      ['Location', `https://a/${'x'.repeat(8192)}`],
    ])
      expect(readLocation(raw)).toBeUndefined();
  });

  it('loses what servers never get, and nothing else', () => {
    const found = goalOf(['Location', '?a=%7e#x'], new URL('https://a.example.com/b/c'), ['a.example.com']);
    expect(found).toMatchObject({ goal: { href: 'https://a.example.com/b/c?a=%7e' } });
  });
});
