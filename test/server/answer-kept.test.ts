import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Entry } from '../../src/cache/entry.ts';
import type { GatewayError } from '../../src/errors.ts';
import { answerKept } from '../../src/server/answer-kept.ts';
import type { Exchange } from '../../src/server/exchange.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { connectRaw } from '../kit/raw-client.ts';

const MODIFIED = 'Thu, 01 Jan 2026 00:00:00 GMT';
const BODY = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz');
const entryOf = (body = BODY): Entry => ({
  storedAt: 1_000_000,
  body,
  fields: {
    'content-type': 'image/jpeg',
    'content-disposition': 'inline; filename="a.jpg"',
    etag: '"ours"',
    'last-modified': MODIFIED,
    'upstream-etag': '"theirs"',
  },
});

/** A server that answers everything with one entry, and writes down how it went. */
async function start(entry = entryOf(), before: () => Promise<void> = async () => {}) {
  const clock = createFakeClock(1_000_000);
  const ended: (GatewayError | undefined)[] = [];
  const exchange = { bytesOut: 0 } as Exchange;
  const app = express();
  app.get('/', (req, res) => {
    void (async () => {
      await before();
      res.setHeader('Cache-Status', 'chatfiles-gateway; hit; detail=memory');
      await answerKept(entry, req, res, exchange, { clock, answer: { idleMs: 1000 } });
      ended.push(undefined);
    })().catch((error: GatewayError) => {
      ended.push(error);
      if (res.headersSent) res.destroy();
      else res.status(error.status).end();
    });
  });
  const server = createServer(app);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ask = async (fields: string[] = [], method = 'GET') => {
    using client = await connectRaw(url, { isHead: () => method === 'HEAD' });
    await client.send(`${[`${method} / HTTP/1.1`, 'Host: h', ...fields, 'Connection: close'].join('\r\n')}\r\n\r\n`);
    const { replies, rest } = await client.ended();
    expect([replies.length, rest]).toEqual([1, '']);
    const [reply] = replies;
    return { status: reply?.status, headers: reply?.headers ?? {}, text: reply?.body.toString() ?? '' };
  };
  return { clock, ended, exchange, url, ask };
}

describe('what is kept', () => {
  it('is given whole, with its fields but not those of the upstream alone', async () => {
    const { ask, ended, exchange, clock } = await start();
    const { status, headers, text } = await ask();
    expect([status, text]).toEqual([200, BODY.toString()]);
    expect(headers).toMatchObject({
      'content-type': 'image/jpeg',
      'content-disposition': 'inline; filename="a.jpg"',
      'content-length': '36',
      'accept-ranges': 'bytes',
      'cache-control': 'private',
      'last-modified': MODIFIED,
      etag: '"ours"',
      age: '0',
    });
    expect(headers).not.toHaveProperty('upstream-etag');
    expect([ended, exchange.bytesOut, clock.timers]).toEqual([[undefined], 36, 0]);
  });

  it.each([
    [0, '0'],
    [999, '0'],
    [1000, '1'],
    [86_400_500, '86400'],
    // A machine's clock may be set back.
    [-5000, '0'],
  ])('%s ms after it was stored has the age of %s s', async (afterMs, age) => {
    const { ask } = await start({ ...entryOf(), storedAt: 1_000_000 - afterMs });
    expect((await ask()).headers['age']).toBe(age);
  });

  it('has a head without a body, of the same fields', async () => {
    const { ask, exchange } = await start();
    const { status, headers, text } = await ask(['Range: bytes=0-3'], 'HEAD');
    expect([status, text, headers['content-length'], headers['content-range'], exchange.bytesOut]).toEqual([
      200,
      '',
      '36',
      undefined,
      0,
    ]);
  });
});

describe('a condition', () => {
  it.each([
    ['the ETag', ['If-None-Match: "ours"']],
    ['the ETag, weakly', ['If-None-Match: W/"ours"']],
    ['one ETag of several', ['If-None-Match: "a", "ours","b"']],
    ['any', ['If-None-Match: *']],
    ['the date', [`If-Modified-Since: ${MODIFIED}`]],
    ['a later date', ['If-Modified-Since: Fri, 02 Jan 2026 00:00:00 GMT']],
    [
      'the ETag, and an early date that does not count then',
      ['If-None-Match: "ours"', 'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT'],
    ],
    ['the ETag, and a part', ['If-None-Match: "ours"', 'Range: bytes=0-3']],
    ['the ETag, and a part behind the end', ['If-None-Match: "ours"', 'Range: bytes=99-']],
    ['the ETag of a client that reloads', ['If-None-Match: "ours"', 'Cache-Control: no-cache']],
  ])('by %s is met: nothing is sent again', async (_case, fields) => {
    const { ask, exchange } = await start();
    for (const method of ['GET', 'HEAD']) {
      const { status, headers, text } = await ask(fields, method);
      expect([status, text]).toEqual([304, '']);
      // What RFC 9110 section 15.4.5 asks for, and nothing about the body that does not come.
      expect(headers).toMatchObject({ etag: '"ours"', 'cache-control': 'private', age: '0' });
      for (const name of ['content-type', 'content-length', 'content-range', 'content-disposition']) {
        expect(headers).not.toHaveProperty(name);
      }
    }
    expect(exchange.bytesOut).toBe(0);
  });

  it.each([
    ['another ETag', ['If-None-Match: "theirs"']],
    ['an ETag without quotes', ['If-None-Match: ours']],
    ['another ETag, though the date is right', ['If-None-Match: "other"', `If-Modified-Since: ${MODIFIED}`]],
    ['an earlier date', ['If-Modified-Since: Wed, 31 Dec 2025 23:59:59 GMT']],
    ['what is no date', ['If-Modified-Since: yesterday']],
    ['an empty field', ['If-None-Match:']],
  ])('by %s is not met: all is sent', async (_case, fields) => {
    const { ask } = await start();
    const { status, text } = await ask(fields);
    expect([status, text]).toEqual([200, BODY.toString()]);
  });
});

describe('a part', () => {
  it.each([
    ['bytes=0-3', '0123', 'bytes 0-3/36'],
    ['bytes=0-0', '0', 'bytes 0-0/36'],
    ['bytes=10-', BODY.toString().slice(10), 'bytes 10-35/36'],
    ['bytes=35-99', 'z', 'bytes 35-35/36'],
    ['bytes=-2', 'yz', 'bytes 34-35/36'],
    ['bytes=-99', BODY.toString(), 'bytes 0-35/36'],
    ['bytes=0-35', BODY.toString(), 'bytes 0-35/36'],
  ])('by %s is that part', async (range, text, contentRange) => {
    const { ask, exchange } = await start();
    const part = await ask([`Range: ${range}`]);
    expect([part.status, part.text, part.headers['content-range'], part.headers['content-length']]).toEqual([
      206,
      text,
      contentRange,
      String(text.length),
    ]);
    expect(exchange.bytesOut).toBe(text.length);
  });

  it.each(['bytes=36-', 'bytes=99-100', 'bytes=-0'])('by %s lies behind the end', async (range) => {
    const { ask, ended } = await start();
    const { status, headers, text } = await ask([`Range: ${range}`]);
    expect([status, text, headers['content-range']]).toEqual([416, '', 'bytes */36']);
    for (const name of ['etag', 'last-modified', 'age', 'content-disposition', 'cache-status', 'accept-ranges']) {
      expect(headers).not.toHaveProperty(name);
    }
    expect(ended).toMatchObject([{ code: 'RANGE_UNSATISFIABLE' }]);
  });

  it.each([
    'bytes=0-1,4-5',
    'bytes=0-1,99-',
    'items=0-3',
    'bytes',
    'bytes=',
    'bytes=a-b',
    'bytes=3-1',
    'bytes=1.5-2',
    'bytes=--1',
    'bytes=0x1-2',
    'bytes 0-3',
    '0-3',
  ])('by %s cannot be given: all is sent', async (range) => {
    const { ask } = await start();
    const { status, headers, text } = await ask([`Range: ${range}`]);
    expect([status, text, headers['content-range']]).toEqual([200, BODY.toString(), undefined]);
  });

  it.each([
    ['"ours"', 206],
    [MODIFIED, 206],
    ['W/"ours"', 200],
    ['"other"', 200],
    ['"theirs"', 200],
    ['ours', 200],
    ['Fri, 02 Jan 2026 00:00:00 GMT', 200],
    ['*', 200],
  ])('on the condition of %s has the status %s', async (condition, status) => {
    const { ask } = await start();
    expect((await ask(['Range: bytes=0-3', `If-Range: ${condition}`])).status).toBe(status);
    // Without a part to ask for, the condition means nothing.
    expect((await ask([`If-Range: ${condition}`])).status).toBe(200);
  });
});

describe('a client', () => {
  const large = entryOf(Buffer.alloc(20_000_000, 'x'));

  it('that never reads is given up, after a time for each 64 KB', async () => {
    const { clock, ended, url } = await start(large);
    using client = await connectRaw(url);
    client.socket.pause();
    await client.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await expect.poll(() => clock.timers).toBe(1);
    await clock.advance(1000 * (1 + large.body.length / 65_536) - 1);
    expect(ended).toEqual([]);
    await clock.advance(2);
    await expect.poll(() => ended).toMatchObject([{ code: 'REQUEST_TOO_SLOW' }]);
    expect(clock.timers).toBe(0);
  });

  it('that leaves in the middle is gone, and nothing waits for it', async () => {
    const { clock, ended, url } = await start(large);
    using client = await connectRaw(url);
    await client.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await expect.poll(() => clock.timers).toBe(1);
    client.reset();
    await expect.poll(() => ended).toMatchObject([{ code: 'CLIENT_GONE' }]);
    expect(clock.timers).toBe(0);
  });

  it('that has left before the answer began is gone at once', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let asked = false;
    const { clock, ended, exchange, url } = await start(entryOf(), async () => {
      asked = true;
      await promise;
    });
    using client = await connectRaw(url);
    await client.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await expect.poll(() => asked).toBe(true);
    const other = await connectRaw(url);
    client.reset();
    // The reset has arrived when what was sent after it was answered.
    await other.send('POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    await other.ended();
    resolve();
    await expect.poll(() => ended).toMatchObject([{ code: 'CLIENT_GONE' }]);
    expect([clock.timers, exchange.bytesOut]).toEqual([0, 0]);
  });
});
