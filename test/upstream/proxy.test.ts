import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { GatewayError } from '../../src/errors.ts';
import { createUpstreamProxy } from '../../src/upstream/proxy.ts';
import type { SpooledBody } from '../../src/upstream/spooled-body.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { type RawRequest, startRawUpstream } from '../kit/raw-upstream.ts';
import { outbound, readText } from './outbound-kit.ts';

const CONFIG = { connectTimeoutMs: 5000, answerTimeoutMs: 5000, idleTimeoutMs: 5000, maxSockets: 8, keepAliveMs: 4000 };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

async function start(answer: (request: RawRequest, count: number) => void, clock = systemClock) {
  const upstream = await startRawUpstream(answer);
  const proxy = createUpstreamProxy({ ...CONFIG, url: upstream.url }, clock);
  onTestFinished(async () => {
    proxy[Symbol.dispose]();
    await upstream[Symbol.asyncDispose]();
  });
  return { upstream, send: proxy.send };
}

const bodyOf = (bytes: Buffer): SpooledBody => ({
  bytes: bytes.length,
  open: () => Readable.from([bytes]),
  release: async () => {},
});

describe('one attempt', () => {
  it('brings the answer of the upstream', async () => {
    const { send, upstream } = await start(({ socket }) => void socket.write(OK));
    expect(await readText(await send(outbound()))).toBe('ok');
    expect(upstream.requests[0]?.head.split('\r\n')[0]).toBe('GET /o/a/chatfiles/x HTTP/1.1');
  });

  it('sends the headers it was given, the host of the upstream, and nothing else', async () => {
    const { send, upstream } = await start(({ socket }) => void socket.write(OK));
    await readText(await send(outbound()));
    const lines = upstream.requests[0]?.head
      .split('\r\n')
      .slice(1)
      .map((line) => line.toLowerCase())
      .toSorted();
    expect(lines).toEqual(['authorization: bearer t', 'connection: keep-alive', `host: ${new URL(upstream.url).host}`]);
  });

  it('sends a body with its length, and again from the start with the next attempt', async () => {
    const { send, upstream } = await start(({ socket }) => void socket.write(OK));
    const body = bodyOf(Buffer.from('a body'));
    for (const _ of [1, 2]) await readText(await send(outbound({ method: 'POST', body })));
    expect(upstream.requests.map((each) => each.body.toString())).toEqual(['a body', 'a body']);
    expect(upstream.requests[0]?.head).toMatch(/^content-length: 6$/im);
  });

  it('keeps the connection for the next one', async () => {
    const { send, upstream } = await start(({ socket }) => void socket.write(OK));
    for (const _ of [1, 2, 3]) await readText(await send(outbound()));
    expect(upstream.connections).toBe(1);
  });

  it('reads a refusal whole, with the word that its JSON gives', async () => {
    const json = '{"error":"reach_limit"}';
    const { send } = await start(
      ({ socket }) =>
        void socket.write(
          `HTTP/1.1 429 X\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
        ),
    );
    expect(await send(outbound())).toMatchObject({
      kind: 'refusal',
      status: 429,
      error: 'reach_limit',
      body: Buffer.from(json),
    });
  });

  it.each([
    ['HTML', 'Content-Type: text/html\r\nContent-Length: 4', '<p/>'],
    ['compressed', 'Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2', '{}'],
    ['a list', 'Content-Type: application/json\r\nContent-Length: 2', '[]'],
    ['cut short', 'Content-Type: application/json\r\nContent-Length: 200', '{"error":"x"'],
    ['endless', 'Content-Type: application/json\r\nContent-Length: 70000', `{"error":"${'x'.repeat(69_988)}"}`],
  ])('keeps the status of a refusal that is %s, and none of its body', async (_case, fields, text) => {
    const { send } = await start(({ socket }) => void socket.end(`HTTP/1.1 503 X\r\n${fields}\r\n\r\n${text}`));
    const outcome = await send(outbound());
    expect(outcome).toMatchObject({ kind: 'refusal', status: 503, error: undefined });
    expect((outcome as { body: Buffer }).body).toHaveLength(0);
  });

  it('waits for the words of a refusal no longer than for a whole answer, however they trickle', async () => {
    const clock = createFakeClock();
    const { promise: written, resolve } = Promise.withResolvers<RawRequest['socket']>();
    const { send } = await start(({ socket }) => {
      socket.write('HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{', () =>
        resolve(socket),
      );
    }, clock);
    const outcome = send(outbound());
    const socket = await written;
    const isClosed = once(socket, 'close');
    // One more byte comes each time just before a limit on silence alone would end it.
    for (let i = 0; i < 20 && !socket.destroyed; i += 1) {
      socket.write(' ');
      await new Promise((turn) => setImmediate(turn));
      await clock.advance(CONFIG.idleTimeoutMs - 100);
    }
    expect(await outcome).toMatchObject({ kind: 'refusal', status: 400, error: undefined });
    await isClosed;
  });

  it('tells that nothing was sent when there is no connection', async () => {
    const { upstream, send } = await start(() => {});
    await upstream[Symbol.asyncDispose]();
    expect(await send(outbound())).toMatchObject({ kind: 'failure', cause: 'unreachable', sent: 'nothing' });
  });

  it('tells a reset on a fresh connection', async () => {
    const { send } = await start(({ socket }) => void socket.resetAndDestroy());
    expect(await send(outbound())).toMatchObject({ kind: 'failure', cause: 'reset', sent: 'whole', reused: false });
  });

  it('tells a reset on a connection that was kept from before', async () => {
    const { send } = await start(
      ({ socket }, count) => void (count === 1 ? socket.write(OK) : socket.resetAndDestroy()),
    );
    await readText(await send(outbound()));
    expect(await send(outbound())).toMatchObject({ kind: 'failure', cause: 'reset', reused: true });
  });

  it.each([
    ['garbage', 'hello\r\n\r\n'],
    ['a broken header', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok'],
    ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`],
  ])('tells that the answer was broken when it is %s', async (_case, bytes) => {
    const { send } = await start(({ socket }) => void socket.end(bytes));
    expect(await send(outbound())).toMatchObject({ kind: 'failure', cause: 'broken' });
  });

  it('gives up on an upstream that does not answer', async () => {
    const clock = createFakeClock();
    const { promise: arrived, resolve } = Promise.withResolvers<void>();
    const { send } = await start(() => resolve(), clock);
    const outcome = send(outbound());
    await arrived;
    await clock.advance(2 * CONFIG.answerTimeoutMs);
    expect(await outcome).toMatchObject({ kind: 'failure', cause: 'timeout', sent: 'whole' });
    expect(clock.timers).toBe(0);
  });

  it('ends when the client goes, and with it the request at the upstream', async () => {
    const gone = new AbortController();
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const { send } = await start(({ socket }) => {
      socket.once('close', () => resolve());
      gone.abort();
    });
    expect(await send(outbound({ signal: gone.signal }))).toMatchObject({ kind: 'failure' });
    await closed;
  });

  it('is not made at all for a client that has already gone', async () => {
    const { send, upstream } = await start(({ socket }) => void socket.write(OK));
    expect(await send(outbound({ signal: AbortSignal.abort() }))).toMatchObject({ kind: 'failure', sent: 'nothing' });
    await readText(await send(outbound()));
    expect([upstream.requests.length, upstream.connections]).toEqual([1, 1]);
  });

  it('does not blame the upstream for a body that breaks while it is sent', async () => {
    const { send } = await start(({ socket }) => void socket.write(OK));
    const body: SpooledBody = {
      bytes: 10,
      open: () =>
        new Readable({
          read() {
            this.destroy(new GatewayError('SPOOL_FULL', { reason: 'the disk is on fire' }));
          },
        }),
      release: async () => {},
    };
    await expect(send(outbound({ method: 'POST', body }))).rejects.toMatchObject({ code: 'SPOOL_FULL' });
  });

  it('keeps the connection of an upload, too: a handshake within a slot would be jitter', async () => {
    const { send, upstream } = await start(({ socket }) => void socket.write(OK));
    const body = bodyOf(Buffer.from('a body'));
    for (const _ of [1, 2, 3]) await readText(await send(outbound({ method: 'POST', body })));
    await readText(await send(outbound()));
    expect(upstream.connections).toBe(1);
  });

  it('fails when the upstream switches protocols, without waiting for an answer', async () => {
    const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
    const { send } = await start(({ socket }) => void socket.write(switching), createFakeClock());
    expect(await send(outbound())).toMatchObject({ kind: 'failure' });
  });

  it('tells that the answer was broken when its status is none that HTTP knows', async () => {
    const { send } = await start(({ socket }) => void socket.write('HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n'));
    expect(await send(outbound())).toMatchObject({ kind: 'failure', cause: 'broken' });
  });

  it('does not end the body of an answer behind which more bytes came', async () => {
    const { send } = await start(({ socket }) => void socket.write(`${OK}ay, and more`));
    await expect(send(outbound()).then(readText)).rejects.toThrow(/parse error/i);
  });

  // An upstream, or somebody on the way, puts a second answer behind the one that was asked for: on a kept connection
  // it would become the answer to the next request, which may be another client's.
  it('never takes an answer that nobody asked for as the answer to the next request', async () => {
    const { promise: sent, resolve } = Promise.withResolvers<void>();
    const { send, upstream } = await start(({ socket }, count) => {
      socket.write(OK);
      if (count === 1)
        setImmediate(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', () => resolve()));
    });
    await readText(await send(outbound()));
    await sent;
    for (const _ of [1, 2]) expect(await readText(await send(outbound()))).toBe('ok');
    expect(upstream.requests).toHaveLength(3);
  });

  it('leaves no listener and no connection behind, however often it fails', async () => {
    const { send } = await start(
      ({ socket }, count) => void (count % 2 === 0 ? socket.write(OK) : socket.resetAndDestroy()),
    );
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    onTestFinished(() => void process.off('warning', onWarning));
    const signal = new AbortController().signal;
    const fdsBefore = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 60; i += 1) {
      const outcome = await send(outbound({ signal }));
      if (outcome.kind === 'answer') await readText(outcome);
    }
    expect(warnings).toEqual([]);
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(fdsBefore + 8);
  });
});
