import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { relay } from '../../src/server/relay.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const LIMITS = { maxBytes: 100, idleMs: 1000 };

/** A body that says what it is told, and a response whose client takes nothing: no socket is attached. */
function start() {
  const clock = createFakeClock();
  const body = new IncomingMessage(new Socket());
  const res = new ServerResponse(new IncomingMessage(new Socket()));
  let counted = 0;
  const done = relay(body, res, LIMITS, clock, (bytes) => {
    counted += bytes.length;
  });
  const end = () => {
    body.complete = true;
    body.push(null);
  };
  return { clock, body, res, done, end, counted: () => counted };
}

describe('a body on its way to the client', () => {
  it('is not begun before it is known to be whole, when it comes in one piece', async () => {
    const { clock, body, res, done, end, counted } = start();
    body.push('one');
    await clock.advance(0);
    expect([res.headersSent, counted()]).toEqual([false, 0]);
    end();
    await clock.advance(0);
    expect([res.headersSent, res.writableEnded, counted()]).toEqual([true, true, 3]);
    res.emit('finish');
    await done;
    expect(clock.timers).toBe(0);
  });

  it('is given up when its last bytes are never taken', async () => {
    const { clock, body, done, end } = start();
    const failure = done.catch((error: unknown) => error);
    body.push('one');
    end();
    await clock.advance(2 * LIMITS.idleMs);
    expect(await failure).toMatchObject({ code: 'REQUEST_TOO_SLOW' });
    expect(clock.timers).toBe(0);
  });

  it('that somebody else has paused goes on', async () => {
    const clock = createFakeClock();
    const body = new IncomingMessage(new Socket());
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    body.pause();
    body.unshift('one');
    const done = relay(body, res, LIMITS, clock, () => {});
    body.complete = true;
    body.push(null);
    await clock.advance(0);
    expect(res.writableEnded).toBe(true);
    res.emit('finish');
    await done;
  });

  it('that had broken before anybody listened is broken at once', async () => {
    const clock = createFakeClock();
    const body = new IncomingMessage(new Socket());
    body.on('error', () => {});
    body.complete = true;
    body.destroy(new Error('more than announced'));
    await clock.advance(0);
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    await expect(relay(body, res, LIMITS, clock, () => {})).rejects.toMatchObject({ code: 'UPSTREAM_BROKEN' });
    expect(clock.timers).toBe(0);
  });

  it('is given up at once for a client that had left before', async () => {
    const clock = createFakeClock();
    const body = new IncomingMessage(new Socket());
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    res.destroy();
    await expect(relay(body, res, LIMITS, clock, () => {})).rejects.toMatchObject({ code: 'CLIENT_GONE' });
    expect([body.destroyed, clock.timers]).toEqual([true, 0]);
  });

  it('is cut when it is larger than allowed', async () => {
    const { clock, body, done } = start();
    body.push('x'.repeat(101));
    await expect(done).rejects.toMatchObject({ code: 'UPSTREAM_TOO_LARGE' });
    expect([body.destroyed, clock.timers]).toEqual([true, 0]);
  });
});
