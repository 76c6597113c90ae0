import { expect, test } from 'vitest';
import { allowsRange, checkConditions } from '../../src/emulator/conditional.ts';

const AT = 'Thu, 01 Jan 2026 00:00:00 GMT';
const BEFORE = 'Wed, 31 Dec 2025 23:59:59 GMT';
const AFTER = 'Thu, 01 Jan 2026 00:00:01 GMT';
const file = { etag: '"abc"', lastModifiedMs: Date.parse(AT) + 400 };

test.each([
  [{}, 'send'],
  [{ 'if-none-match': '"abc"' }, 'not-modified'],
  [{ 'if-none-match': 'W/"abc"' }, 'not-modified'],
  [{ 'if-none-match': '"x", "abc"' }, 'not-modified'],
  [{ 'if-none-match': '*' }, 'not-modified'],
  [{ 'if-none-match': '"x"' }, 'send'],
  [{ 'if-modified-since': AT }, 'not-modified'],
  [{ 'if-modified-since': AFTER }, 'not-modified'],
  [{ 'if-modified-since': BEFORE }, 'send'],
  [{ 'if-modified-since': 'yesterday' }, 'send'],
  [{ 'if-none-match': '"x"', 'if-modified-since': AFTER }, 'send'],
  [{ 'if-match': '"abc"' }, 'send'],
  [{ 'if-match': '*' }, 'send'],
  [{ 'if-match': 'W/"abc"' }, 'failed'],
  [{ 'if-match': '"x"' }, 'failed'],
  [{ 'if-unmodified-since': BEFORE }, 'failed'],
  [{ 'if-unmodified-since': AT }, 'send'],
  [{ 'if-match': '"abc"', 'if-unmodified-since': BEFORE }, 'send'],
])('%j comes to %s', (headers, verdict) => {
  expect(checkConditions(headers, file)).toBe(verdict);
});

test.each([
  [{}, true],
  [{ 'if-range': '"abc"' }, true],
  [{ 'if-range': 'W/"abc"' }, false],
  [{ 'if-range': '"x"' }, false],
  [{ 'if-range': AT }, true],
  [{ 'if-range': AFTER }, false],
  [{ 'if-range': 'nonsense' }, false],
])('%j lets a range be served: %j', (headers, allowed) => {
  expect(allowsRange(headers, file)).toBe(allowed);
});
