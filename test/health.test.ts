import { describe, expect, it } from 'vitest';
import { createHealth } from '../src/health.ts';
import { createFakeClock } from './kit/fake-clock.ts';

function start(required: string[] = []) {
  const clock = createFakeClock();
  return { clock, health: createHealth({ required }, clock) };
}

describe('the health of a gateway', () => {
  it('is starting until everything is open, ready then, and draining at the end', () => {
    const { health } = start();
    expect(health.tell()).toMatchObject({ status: 'starting', isReady: false, hasStarted: false });
    health.opened();
    expect(health.tell()).toMatchObject({ status: 'ready', isReady: true, hasStarted: true });
    health.drain();
    expect(health.tell()).toMatchObject({ status: 'draining', isReady: false, hasStarted: true });
  });

  it('is ready while degraded, and says since when and by which latest reason', async () => {
    const { clock, health } = start();
    health.opened();
    const since = clock.now();
    health.report('redis', { is: 'degraded', because: 'refused' });
    await clock.advance(1000);
    health.report('redis', { is: 'degraded', because: 'timed out' });
    expect(health.tell()).toMatchObject({ status: 'degraded', isReady: true });
    expect(health.tell().checks).toEqual([{ name: 'redis', is: 'degraded', because: 'timed out', since }]);
    health.report('redis', { is: 'ok' });
    expect(health.tell()).toMatchObject({ status: 'ready', checks: [{ is: 'ok', since: since + 1000 }] });
  });

  it('is not ready while a component has failed', () => {
    const { health } = start();
    health.opened();
    health.report('config', { is: 'failed', because: 'no upstream' });
    expect(health.tell()).toMatchObject({ status: 'failed', isReady: false });
  });

  it('waits at the start for what is required, and never again', () => {
    const { health } = start(['redis']);
    health.opened();
    health.report('redis', { is: 'degraded', because: 'Redis is away: it goes on without (ECONNREFUSED)' });
    expect(health.tell()).toMatchObject({ status: 'starting', hasStarted: false });
    const because = 'the start waits for it, requests should not come before (ECONNREFUSED)';
    expect(health.tell().checks).toMatchObject([{ name: 'redis', because }]);
    health.report('redis', { is: 'ok' });
    expect(health.tell().status).toBe('ready');
    health.report('redis', { is: 'degraded', because: 'refused' });
    expect(health.tell()).toMatchObject({ status: 'degraded', isReady: true, hasStarted: true });
  });

  it('asks what it watches each time, until it is told not to', () => {
    const { health } = start();
    health.opened();
    let isDown = false;
    const forget = health.watch('upstream', () => (isDown ? { is: 'degraded', because: 'down' } : { is: 'ok' }));
    expect(health.tell().status).toBe('ready');
    isDown = true;
    expect(health.tell().status).toBe('degraded');
    forget();
    expect(health.tell()).toMatchObject({ status: 'ready', checks: [] });
  });

  it('hears of states by notices, which go on as they came', () => {
    const { health } = start();
    const told: unknown[][] = [];
    const notice = health.hear((...notice) => void told.push(notice));
    notice('warn', 'Redis is away', { reason: 'refused' }, { component: 'redis', is: 'degraded' });
    notice('info', 'something else');
    expect(told.map(([level, message]) => [level, message])).toEqual([
      ['warn', 'Redis is away'],
      ['info', 'something else'],
    ]);
    expect(health.tell().checks).toMatchObject([{ name: 'redis', because: 'Redis is away (refused)' }]);
  });
});
