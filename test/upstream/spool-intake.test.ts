import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { intake, type Taker } from '../../src/upstream/spool-intake.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

/** A source that hands out what it is told to. */
const openSource = (): Readable => new Readable({ read() {} });

const takeAll: Taker = { take: () => undefined };

const limits = (clock = createFakeClock()) => ({ idleMs: 1000, totalMs: 10_000, clock });

const listenersOf = (source: Readable): number =>
  ['data', 'end', 'error', 'close'].reduce((sum, event) => sum + source.listenerCount(event), 0);

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('an intake', () => {
  test('hands over all the bytes in order', async () => {
    const taken: string[] = [];
    const take = (chunk: Buffer) => void taken.push(chunk.toString());
    await intake(Readable.from(['a', 'b', 'c'].map((text) => Buffer.from(text))), { take }, limits());
    expect(taken.join('')).toBe('abc');
  });

  test('of a source that has ended before is empty', async () => {
    const source = Readable.from([]);
    source.resume();
    await settled();
    await expect(intake(source, takeAll, limits())).resolves.toBeUndefined();
  });

  test('keeps the source paused while the taker waits', async () => {
    const written = Promise.withResolvers<void>();
    const taken: string[] = [];
    const source = openSource();
    const done = intake(
      source,
      {
        take(chunk) {
          taken.push(chunk.toString());
          return written.promise;
        },
      },
      limits(),
    );
    source.push('a');
    await settled();
    source.push('b');
    source.push(null);
    await settled();
    expect(taken).toEqual(['a']);
    expect(source.isPaused()).toBe(true);
    written.resolve();
    await done;
    expect(taken).toEqual(['a', 'b']);
  });

  test('waits for the taker of the last byte', async () => {
    const written = Promise.withResolvers<void>();
    let isDone = false;
    const source = openSource();
    const done = intake(source, { take: () => written.promise }, limits()).then(() => {
      isDone = true;
      return undefined;
    });
    source.push('a');
    source.push(null);
    await settled();
    expect(isDone).toBe(false);
    written.resolve();
    await done;
  });

  test('leaves the source paused and whole when the taker refuses', async () => {
    const source = openSource();
    const refusal = new Error('no');
    const take = () => {
      throw refusal;
    };
    const done = intake(source, { take }, limits());
    source.push('a');
    await expect(done).rejects.toBe(refusal);
    expect({ destroyed: source.destroyed, paused: source.isPaused(), listeners: listenersOf(source) }).toEqual({
      destroyed: false,
      paused: true,
      listeners: 0,
    });
    source.push('b');
    source.push(null);
    const rest: string[] = [];
    for await (const chunk of source) rest.push(String(chunk));
    expect(rest).toEqual(['b']);
  });

  test('does not stop a source that somebody else discards, when its disk is done only then', async () => {
    const written = Promise.withResolvers<void>();
    const clock = createFakeClock();
    const source = openSource();
    const done = intake(source, { take: () => written.promise }, limits(clock));
    source.push('a');
    await Promise.all([expect(done).rejects.toMatchObject({ code: 'REQUEST_TOO_SLOW' }), clock.advance(10_000)]);
    source.resume();
    written.reject(new Error('too late'));
    await settled();
    expect(source.isPaused()).toBe(false);
  });
});

test('a source that failed while the disk was at work stays paused when the disk is done', async () => {
  const written = Promise.withResolvers<void>();
  const clock = createFakeClock();
  const source = openSource();
  const done = intake(source, { take: () => written.promise }, limits(clock));
  source.push('a');
  await Promise.all([expect(done).rejects.toMatchObject({ code: 'REQUEST_TOO_SLOW' }), clock.advance(10_000)]);
  written.resolve();
  await settled();
  expect(source.isPaused()).toBe(true);
});

describe('a client that goes away', () => {
  test.each<[when: string, leave: (source: Readable) => void]>([
    ['with an error', (source) => source.destroy(new Error('reset'))],
    ['without one', (source) => source.destroy()],
  ])('%s is gone', async (_, leave) => {
    const clock = createFakeClock();
    const source = openSource();
    const done = intake(source, takeAll, limits(clock));
    source.push('a');
    leave(source);
    await expect(done).rejects.toMatchObject({ code: 'CLIENT_GONE' });
    expect({ listeners: listenersOf(source), timers: clock.timers }).toEqual({ listeners: 0, timers: 0 });
  });

  test('is gone when it left before', async () => {
    const source = openSource();
    source.destroy();
    await expect(intake(source, takeAll, limits())).rejects.toMatchObject({ code: 'CLIENT_GONE' });
  });

  test('is gone when the signal says so, before or meanwhile', async () => {
    const gone = new AbortController();
    const source = openSource();
    const done = intake(source, takeAll, { ...limits(), signal: gone.signal });
    gone.abort();
    await expect(done).rejects.toMatchObject({ code: 'CLIENT_GONE' });
    expect({ destroyed: source.destroyed, listeners: listenersOf(source) }).toEqual({ destroyed: false, listeners: 0 });
    const again = intake(source, takeAll, { ...limits(), signal: gone.signal });
    await expect(again).rejects.toMatchObject({ code: 'CLIENT_GONE' });
  });
});

describe('a client that is slow', () => {
  test('is cut when no byte came for the idle time', async () => {
    const clock = createFakeClock();
    const source = openSource();
    let failure: unknown;
    const done = intake(source, takeAll, limits(clock)).catch((error: unknown) => {
      failure = error;
    });
    await clock.advance(999);
    source.push('a');
    await clock.advance(999);
    expect(failure).toBeUndefined();
    await clock.advance(1);
    await done;
    expect(failure).toMatchObject({ code: 'REQUEST_TOO_SLOW' });
    expect({ listeners: listenersOf(source), timers: clock.timers }).toEqual({ listeners: 0, timers: 0 });
  });

  test('is cut at the total time, however steadily it sends', async () => {
    const clock = createFakeClock();
    const source = openSource();
    let failure: unknown;
    const done = intake(source, takeAll, limits(clock)).catch((error: unknown) => {
      failure = error;
    });
    for (let turn = 0; turn < 19; turn += 1) {
      source.push('a');
      await clock.advance(500);
    }
    expect(failure).toBeUndefined();
    source.push('a');
    await clock.advance(500);
    await done;
    expect(failure).toMatchObject({ code: 'REQUEST_TOO_SLOW' });
  });

  test('is not blamed for the time that the disk takes', async () => {
    const clock = createFakeClock();
    const written = Promise.withResolvers<void>();
    const source = openSource();
    const done = intake(source, { take: () => written.promise }, limits(clock));
    source.push('a');
    await clock.advance(5000);
    written.resolve();
    await clock.advance(999);
    source.push(null);
    await expect(done).resolves.toBeUndefined();
  });
});
