import { describe, expect, it } from 'vitest';
import { createLogger } from '../src/logger.ts';
import { bufferLines, createRequestLog, type RequestRecord } from '../src/request-log.ts';
import { createFakeClock } from './kit/fake-clock.ts';

const start = (level: 'info' | 'warn' = 'info') => {
  const written: string[] = [];
  const clock = createFakeClock(Date.parse('2026-11-23T10:00:00.007Z'));
  const lines = bufferLines({ write: (text) => written.push(text) }, clock);
  const logger = createLogger({ level, format: 'json' }, lines);
  return { written, clock, lines, logger, log: createRequestLog(() => logger.isLevelEnabled('info'), lines, clock) };
};

const RECORD: RequestRecord = {
  id: '4a7fdbc0-33ee-41e4-9690-2b3c7d2a1f6e',
  method: 'GET',
  route: 'thumbnail',
  app: 'my-org/my-app',
  client: '192.0.2.1',
  status: 200,
  error: undefined,
  cache: 'memory',
  durationMs: 1,
  bytesOut: 4096,
};

describe('the lines of requests', () => {
  it('are the same as the log would write', async () => {
    const { written, clock, logger, log } = start();
    log(RECORD);
    await clock.advance(60);
    logger.info(RECORD, 'request');
    const [mine = '', its = ''] = written;
    const { time, ...fields } = JSON.parse(mine) as Record<string, unknown>;
    const { time: _time, ...others } = JSON.parse(its) as Record<string, unknown>;
    expect(time).toBe('2026-11-23T10:00:00.007Z');
    expect(fields).toEqual(others);
    expect(Object.keys(fields)).toEqual(Object.keys(others));
  });

  it('are written together, and before any other line', async () => {
    const { written, clock, logger, log } = start();
    for (let i = 0; i < 3; i += 1) log(RECORD);
    expect(written).toEqual([]);
    await clock.advance(50);
    expect(written.map((text) => text.split('\n').length - 1)).toEqual([3]);
    log(RECORD);
    logger.warn('something');
    expect(written.slice(1).join('')).toMatch(/"msg":"request".*\n.*"msg":"something"/);
    expect(clock.timers).toBe(0);
  });

  it('wait for no timer when there are many, nor at the end', () => {
    const { written, lines, log } = start();
    for (let i = 0; i < 100; i += 1) log(RECORD);
    expect(written.length).toBeGreaterThan(0);
    log(RECORD);
    lines.flush();
    expect(written.join('').trimEnd().split('\n')).toHaveLength(101);
  });

  it('show no secret that somebody took for the name of an app', () => {
    const { written, lines, log } = start();
    log({ ...RECORD, app: 'o/YWMtAbCdEfGhIjKlMnOpQrStUv' });
    log({ ...RECORD, app: 'o/YWMtAbCdEfGhIjKlMnOpQrStUv' });
    lines.flush();
    expect(written.join('')).not.toContain('YWMtAb');
    expect(written.join('').match(/redacted/g)).toHaveLength(2);
  });

  it('are not written where that level is not logged', () => {
    const { written, lines, log } = start('warn');
    log(RECORD);
    lines.flush();
    expect(written).toEqual([]);
  });

  it('follow the time from second to second', async () => {
    const { written, clock, lines, log } = start();
    for (const ms of [0, 993, 1, 5000]) {
      await clock.advance(ms);
      log(RECORD);
    }
    lines.flush();
    const times = written
      .join('')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { time: string }).time.slice(17));
    expect(times).toEqual(['00.007Z', '01.000Z', '01.001Z', '06.001Z']);
  });
});
