import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { collect } from '../../src/server/collect.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const LIMITS = { maxBytes: 10, idleMs: 1000 };

const start = () => {
  const clock = createFakeClock();
  const body = new IncomingMessage(new Socket());
  const end = () => {
    body.complete = true;
    body.push(null);
  };
  return { clock, body, end, bytes: collect(body, LIMITS, clock) };
};

describe('a body that is taken in whole', () => {
  it('is there when its message has ended', async () => {
    const { clock, body, end, bytes } = start();
    body.push('one');
    body.push('two');
    end();
    expect((await bytes)?.toString()).toBe('onetwo');
    expect(clock.timers).toBe(0);
  });

  it('may be empty', async () => {
    const { end, bytes } = start();
    end();
    expect(await bytes).toHaveLength(0);
  });

  it('that is too long is left to somebody else from its beginning', async () => {
    const { clock, body, end, bytes } = start();
    body.push('123456');
    body.push('789012');
    expect(await bytes).toBeUndefined();
    body.push('345');
    end();
    let rest = '';
    for await (const chunk of body) rest += String(chunk);
    expect(rest).toBe('123456789012345');
    expect(clock.timers).toBe(0);
  });

  it('that breaks off is none', async () => {
    const { clock, body, bytes } = start();
    const failure = bytes.catch((error: unknown) => error);
    body.push('123');
    await clock.advance(0);
    body.destroy();
    expect(await failure).toMatchObject({ code: 'UPSTREAM_BROKEN' });
    expect(clock.timers).toBe(0);
  });

  it('that ends before its message does is none', async () => {
    const { body, bytes } = start();
    const failure = bytes.catch((error: unknown) => error);
    body.push('123');
    body.push(null);
    expect(await failure).toMatchObject({ code: 'UPSTREAM_BROKEN' });
  });

  it('that stands still is given up', async () => {
    const { clock, body, bytes } = start();
    const failure = bytes.catch((error: unknown) => error);
    body.push('123');
    await clock.advance(999);
    body.push('4');
    await clock.advance(1001);
    expect(await failure).toMatchObject({ code: 'UPSTREAM_TIMEOUT' });
    expect(body.destroyed).toBe(true);
  });

  it('that had broken before anybody listened is none', async () => {
    const clock = createFakeClock();
    const body = new IncomingMessage(new Socket());
    body.on('error', () => {});
    body.destroy(new Error('more than announced'));
    await clock.advance(0);
    await expect(collect(body, LIMITS, clock)).rejects.toMatchObject({ code: 'UPSTREAM_BROKEN' });
    expect(clock.timers).toBe(0);
  });
});
