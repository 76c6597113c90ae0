import { describe, expect, it } from 'vitest';
import { NEVER } from '../../src/access/may-see.ts';
import { createTokenBook } from '../../src/access/token-book.ts';

describe('the book of tokens', () => {
  it('keeps the later of two times, whichever comes first', () => {
    const book = createTokenBook();
    book.learn('t', { acceptedAt: 2, refusedAt: 9, refusal: 'token-refused' });
    book.learn('t', { acceptedAt: 1, refusedAt: 8, refusal: 'service-forbidden' });
    expect(book.get('t')).toMatchObject({ acceptedAt: 2, refusedAt: 9, refusal: 'token-refused' });
  });

  it('believes nothing from before a refusal that it had to forget', () => {
    const book = createTokenBook(2);
    book.learn('t', { refusedAt: 100, refusal: 'token-refused' });
    book.learn('a', { acceptedAt: 1 });
    book.learn('b', { acceptedAt: 1 });
    expect(book.get('t')).toBeUndefined();
    // The answer to a request that was sent before the refusal comes in late.
    expect(book.learn('t', { acceptedAt: 100, provenAt: 99, verifiedAt: 50 })).toMatchObject({
      acceptedAt: NEVER,
      provenAt: NEVER,
      verifiedAt: NEVER,
    });
    expect(book.learn('t', { acceptedAt: 101 }).acceptedAt).toBe(101);
    expect(book.size).toBe(2);
  });
});
