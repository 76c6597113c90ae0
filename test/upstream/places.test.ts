import { expect, it } from 'vitest';
import { createPlaces } from '../../src/upstream/places.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const never = new AbortController().signal;

it('are had by so many at once, and go from hand to hand in turn', async () => {
  const clock = createFakeClock();
  const places = createPlaces(2, 1000, clock);
  const [first] = await Promise.all([places.take(never), places.take(never)]);
  const order: string[] = [];
  const third = places.take(never).then((leave) => (order.push('third'), leave));
  const fourth = places.take(never).then((leave) => (order.push('fourth'), leave));
  first();
  // Twice is once.
  first();
  await clock.advance(0);
  expect([order, places.taken]).toEqual([['third'], 2]);
  (await third)();
  (await fourth)();
  expect([order, places.taken, clock.timers]).toEqual([['third', 'fourth'], 1, 0]);
});

it('are waited for within bounds', async () => {
  const clock = createFakeClock();
  const places = createPlaces(1, 1000, clock);
  const leave = await places.take(never);
  const late = places.take(never).catch((error: unknown) => error);
  await clock.advance(1000);
  expect(await late).toMatchObject({ code: 'QUEUE_FULL', retryAfterMs: 1000 });
  leave();
  expect(places.taken).toBe(0);
});

it('are not waited for by who has left', async () => {
  const clock = createFakeClock();
  const places = createPlaces(1, 1000, clock);
  const leave = await places.take(never);
  const leaving = new AbortController();
  const gone = places.take(leaving.signal).catch((error: unknown) => error);
  leaving.abort();
  expect(await gone).toMatchObject({ code: 'CLIENT_GONE' });
  await expect(places.take(AbortSignal.abort())).rejects.toMatchObject({ code: 'CLIENT_GONE' });
  leave();
  expect([places.taken, clock.timers]).toEqual([0, 0]);
});
