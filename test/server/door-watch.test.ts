import { expect, it } from 'vitest';
import { scrubText } from '../../src/scrub.ts';
import { createDoorWatch } from '../../src/server/door-watch.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

it('tells of the first trouble of a kind, and once a minute how many more there were', async () => {
  const clock = createFakeClock();
  const told: unknown[] = [];
  const trouble = createDoorWatch((level, _message, details) => told.push([level, details]), clock);
  for (let time = 0; time < 1000; time += 1) trouble('handshake-failed', '192.0.2.1', 'ERR_SSL_NO_SHARED_CIPHER');
  trouble('proxy-header-missing', '10.0.0.1');
  expect(told).toEqual([
    ['info', { trouble: 'handshake-failed', peer: '192.0.2.1', detail: 'ERR_SSL_NO_SHARED_CIPHER' }],
    ['warn', { trouble: 'proxy-header-missing', peer: '10.0.0.1', detail: undefined }],
  ]);
  await clock.advance(59_999);
  trouble('handshake-failed', '192.0.2.2');
  expect(told).toHaveLength(2);
  await clock.advance(1);
  trouble('handshake-failed', '192.0.2.3');
  expect(told[2]).toEqual([
    'info',
    { trouble: 'handshake-failed', peer: '192.0.2.3', detail: undefined, alsoSinceTheLast: 1000 },
  ]);
});

it.each([
  'proxy-header-missing',
  'proxy-header-broken',
  'proxy-header-late',
  'handshake-late',
  'handshake-failed',
  'client-certificate-missing',
  'client-certificate-refused',
] as const)('says what is wrong in words that the log leaves whole: %s', (kind) => {
  const told: string[] = [];
  createDoorWatch((_level, message) => told.push(message), createFakeClock())(kind, '192.0.2.1');
  expect(told).toEqual([scrubText(told[0] ?? '')]);
});
