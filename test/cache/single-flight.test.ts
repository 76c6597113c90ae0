import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { createFlights } from '../../src/cache/single-flight.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const opened = () => {
  const clock = createFakeClock();
  return { clock, flights: createFlights<string, { token: string }>({ maxAgeMs: 5000 }, clock) };
};
const never = () => new AbortController().signal;
const about = { token: 'a' };

describe('a flight', () => {
  it('is one for all who want the same', async () => {
    const { flights } = opened();
    const task = Promise.withResolvers<string>();
    const flight = flights.start('key', about, () => task.promise);
    expect(flights.find('key')).toBe(flight);
    expect(flights.find('other')).toBeUndefined();
    expect(flight.about).toBe(about);
    const joined = Array.from({ length: 100 }, () => flights.join(flight, never()));
    task.resolve('bytes');
    expect(new Set(await Promise.all(joined))).toEqual(new Set(['bytes']));
    expect([flights.find('key'), flights.running]).toEqual([undefined, 0]);
  });

  it('goes on when all have left, and is there for who comes then', async () => {
    const { flights } = opened();
    const task = Promise.withResolvers<string>();
    let signal: AbortSignal | undefined;
    const flight = flights.start('key', about, (given) => {
      signal = given;
      return task.promise;
    });
    const leaving = new AbortController();
    const joined = flights.join(flight, leaving.signal);
    leaving.abort(new Error('the client left'));
    await expect(joined).rejects.toThrow('the client left');
    await expect(flights.join(flight, leaving.signal)).rejects.toThrow('the client left');
    expect(signal?.aborted).toBe(false);
    const late = flights.join(flight, never());
    task.resolve('bytes');
    await expect(late).resolves.toBe('bytes');
  });

  it('hands its failure to all who wait, and to nobody else', async () => {
    const { flights } = opened();
    const task = Promise.withResolvers<string>();
    const flight = flights.start('key', about, () => task.promise);
    const joined = flights.join(flight, never());
    task.reject(new Error('upstream'));
    await expect(joined).rejects.toThrow('upstream');
    expect(flights.find('key')).toBeUndefined();
    // Nobody waits for this one: an unhandled rejection would end the test.
    flights.start('key', about, () => Promise.reject(new Error('unheard')));
    const thrown = flights.start('key', about, () => {
      throw new Error('at once');
    });
    await expect(flights.join(thrown, never())).rejects.toThrow('at once');
  });

  it('is not joined when it is old, and does not take its successor along when it ends', async () => {
    const { clock, flights } = opened();
    const old = Promise.withResolvers<string>();
    const first = flights.start('key', about, () => old.promise);
    await clock.advance(4999);
    expect(flights.find('key')).toBe(first);
    await clock.advance(1);
    expect(flights.find('key')).toBeUndefined();
    const second = flights.start('key', about, () => new Promise(() => {}));
    expect([flights.find('key'), flights.running]).toEqual([second, 2]);
    old.resolve('old');
    await expect(flights.join(first, never())).resolves.toBe('old');
    expect([flights.find('key'), flights.running]).toEqual([second, 1]);
  });

  it('leaves no listener on the signal of who joined', async () => {
    const { flights } = opened();
    const signal = never();
    const flight = flights.start('key', about, () => Promise.resolve('bytes'));
    await flights.join(flight, signal);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('is told to end when all are disposed of, and waited for', async () => {
    const { flights } = opened();
    let hasEnded = false;
    const flight = flights.start('key', about, async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      hasEnded = true;
      throw signal.reason;
    });
    const joined = flights.join(flight, never());
    await Promise.all([flights[Symbol.asyncDispose](), expect(joined).rejects.toThrow('abort')]);
    expect([hasEnded, flights.running]).toEqual([true, 0]);
  });
});
