import { expect, test } from 'vitest';
import { createRecord } from '../../src/emulator/record.ts';
import { startCloud } from './kit.ts';

const request = {
  at: 0,
  method: 'GET',
  path: '/',
  headers: [],
  remoteAddress: '127.0.0.1',
  remotePort: 1,
  interface: 'other',
  limited: false,
  outcome: 'pending',
  bytesIn: 0,
  bytesOut: 0,
} as const;

test('only the newest are kept, and their numbers go on', () => {
  const record = createRecord(3);
  for (let count = 0; count < 100; count += 1) record.add({ ...request, headers: [] });
  expect(record.list().map(({ id }) => id)).toEqual([98, 99, 100]);
  record.clear();
  expect(record.list()).toEqual([]);
  expect(record.add({ ...request, headers: [] }).id).toBe(101);
});

test('repeated headers are all there, in their order', async () => {
  await using cloud = await startCloud();
  const { curl } = await import('./kit.ts');
  await curl('-H', 'X-One: 1', '-H', 'X-Two: 2', '-H', 'x-one: 3', `${cloud.base}/chatfiles/x`);
  expect(
    cloud
      .received()
      .at(-1)
      ?.headers.filter(([name]) => /^x-/i.test(name)),
  ).toEqual([
    ['X-One', '1'],
    ['X-Two', '2'],
    ['x-one', '3'],
  ]);
  expect(cloud.received().at(-1)).toMatchObject({ status: 401, outcome: 'answered', interface: 'download' });
  cloud.clearReceived();
  expect(cloud.received()).toEqual([]);
  expect(cloud.stats().arrived).toBe(0);
});
