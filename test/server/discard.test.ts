import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { discardRest, hasUnreadBody } from '../../src/server/discard.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

/** A body that is being thrown away, and how often that was said to be over. */
function discard({ discardBytes = 100, discardMs = 5000, isAwaited = true } = {}) {
  const clock = createFakeClock();
  const body = new PassThrough();
  const over = { times: 0 };
  discardRest(body as unknown as IncomingMessage, { discardBytes, discardMs, isAwaited }, clock, () => {
    over.times += 1;
  });
  return { clock, body, over };
}

describe('the rest of a refused body', () => {
  it('is over at its end, once, and leaves no timer', async () => {
    const { clock, body, over } = discard();
    body.end('x');
    await clock.advance(0);
    body.destroy();
    await clock.advance(10_000);
    expect([over.times, clock.timers]).toEqual([1, 0]);
  });

  it('is over when it becomes too long', async () => {
    const { clock, body, over } = discard();
    body.write('x'.repeat(100));
    await clock.advance(0);
    expect(over.times).toBe(0);
    body.write('x');
    await clock.advance(0);
    expect([over.times, clock.timers, body.isPaused()]).toEqual([1, 0, true]);
  });

  it('is over when it takes too long', async () => {
    const { clock, body, over } = discard();
    body.write('x');
    await clock.advance(4999);
    expect(over.times).toBe(0);
    await clock.advance(1);
    expect([over.times, clock.timers]).toEqual([1, 0]);
  });

  it('is over soon when the client waits for leave to send it', async () => {
    const { clock, over } = discard({ isAwaited: false });
    await clock.advance(1000);
    expect([over.times, clock.timers]).toEqual([1, 0]);
  });

  it('is read on when such a client sends it all the same', async () => {
    const { clock, body, over } = discard({ isAwaited: false });
    await clock.advance(500);
    body.write('x');
    await clock.advance(2000);
    expect(over.times).toBe(0);
  });

  it('is over when the client leaves, and its error is heard', async () => {
    const { clock, body, over } = discard();
    body.destroy(new Error('gone'));
    await clock.advance(0);
    expect([over.times, clock.timers]).toEqual([1, 0]);
  });
});

describe('a body is unread', () => {
  it.each([
    ['while chunks may come', { 'transfer-encoding': 'chunked' }, false, true],
    ['while announced bytes may come', { 'content-length': '5' }, false, true],
    ['never where none was announced', {}, false, false],
    ['never where nothing was announced', { 'content-length': '0' }, false, false],
    ['never when it has come whole', { 'content-length': '5' }, true, false],
  ])('%s', (_case, headers, complete, unread) => {
    expect(hasUnreadBody({ headers, complete } as unknown as IncomingMessage)).toBe(unread);
  });
});
