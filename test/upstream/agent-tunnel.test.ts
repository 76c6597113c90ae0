import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createNames } from '../../src/upstream/dns.ts';
import { openTls, type UpstreamTls } from '../../src/upstream/tls.ts';
import { mayRetry } from '../../src/upstream/retry-table.ts';
import type { Outcome } from '../../src/upstream/send.ts';
import { type Authority, createAuthority, type Identity } from '../kit/certificates.ts';
import { type ConnectProxyOptions, startConnectProxy } from '../kit/connect-proxy.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { startRawUpstream } from '../kit/raw-upstream.ts';
import { startTlsUpstream } from '../kit/tls-upstream.ts';
import { openWay, outbound, readText, upload } from './outbound-kit.ts';

const NAME = 'a1.easemob.test';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

let ca: Authority;
let server: Identity;
let tls: UpstreamTls;

async function trust(caFile: string): Promise<UpstreamTls> {
  const opened = await openTls({ caFile, caOnly: true, minTlsVersion: 'TLSv1.2' });
  if ('mistakes' in opened) throw new Error(JSON.stringify(opened.mistakes));
  return opened;
}

beforeAll(async () => {
  ca = await createAuthority();
  server = await ca.issue(NAME);
  tls = await trust(ca.certFile);
});
afterAll(() => ca[Symbol.asyncDispose]());

/** A TLS upstream whose name only the proxy can resolve, and the way to it through the proxy. */
async function start(options: ConnectProxyOptions = {}, identity = server, credentials = '') {
  const upstream = await startTlsUpstream({ key: identity.key, cert: identity.cert });
  const proxy = await startConnectProxy({ ...options, hosts: { [NAME]: upstream.port } });
  const url = new URL(proxy.url);
  const send = openWay(
    `https://${NAME}`,
    { proxy: `${url.protocol}//${credentials}${url.host}` },
    { tls, names: { lookup: (_h, _o, done) => done(null, [{ address: '127.0.0.1', family: 4 }]), ...NO_NEWS } },
  );
  return { upstream, proxy, send };
}
const NO_NEWS = { isCurrent: () => true, doubt: () => {} };

const tellError = (outcome: Outcome): string => (outcome.kind === 'failure' ? outcome.error.message : outcome.kind);

describe('an upstream behind a proxy', () => {
  it('is reached by its name, which the proxy resolves, and nothing but CONNECT is said to the proxy', async () => {
    const { proxy, upstream, send } = await start();
    expect(await readText(await send(outbound()))).toBe('ok');
    expect(proxy.asked).toMatchObject([{ target: `${NAME}:443`, headers: { host: `${NAME}:443` } }]);
    expect(Object.keys(proxy.asked[0]?.headers ?? {}).toSorted()).toEqual(['host', 'proxy-connection', 'user-agent']);
    expect([proxy.others, upstream.requests]).toEqual([[], ['GET /o/a/chatfiles/x 0']]);
  });

  it('gets many requests through one tunnel', async () => {
    const { proxy, upstream, send } = await start();
    for (let i = 0; i < 50; i += 1) await readText(await send(outbound()));
    for (let i = 0; i < 50; i += 1) await readText(await send(upload(Buffer.alloc(100_000))));
    expect([proxy.asked.length, upstream.connections, upstream.requests.length]).toEqual([1, 1, 100]);
  });

  it('gets no more tunnels at once than there may be connections, and all of them are used again', async () => {
    const { proxy, send } = await start();
    for (const _ of [1, 2, 3]) {
      await Promise.all(Array.from({ length: 40 }, async () => readText(await send(outbound()))));
    }
    expect(proxy.asked.length).toBe(8);
  });

  it.each(['http', 'https'])(
    'is not reached for long by an address that is not the %s proxy’s any more',
    async (scheme) => {
      const upstream = await startTlsUpstream({ key: server.key, cert: server.cert });
      const hosts = { [NAME]: upstream.port };
      const proxy = await startConnectProxy(
        scheme === 'https' ? { hosts, identity: await ca.issue('proxy.test') } : { hosts },
      );
      const names = createNames({ ttlMs: 0 }, systemClock, () => Promise.resolve([{ address: here, family: 4 }]));
      let here = '127.0.0.1';
      const send = openWay(`https://${NAME}`, { proxy: `${scheme}://proxy.test:${proxy.port}` }, { tls, names });
      for (const _ of [1, 2, 3]) await readText(await send(outbound()));
      expect(proxy.asked).toHaveLength(1);
      here = '127.0.0.9';
      await readText(await send(outbound()));
      await readText(await send(outbound()));
      await expect.poll(() => proxy.open).toBe(0);
      expect(proxy.asked).toHaveLength(1);
    },
  );

  it('resumes its TLS sessions through new tunnels', async () => {
    const { proxy, upstream, send } = await start();
    await readText(await send(outbound()));
    proxy.cut();
    await expect.poll(() => proxy.open).toBe(0);
    await readText(await send(outbound()));
    expect([upstream.connections, upstream.resumed]).toEqual([2, 1]);
  });

  it('gets its requests in plain text through a tunnel, too, where that is allowed', async () => {
    const upstream = await startRawUpstream(({ socket }) => void socket.write(OK));
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const proxy = await startConnectProxy();
    const send = openWay(upstream.url, { proxy: proxy.url });
    const body = Buffer.from('x'.repeat(70_000));
    for (const request of [outbound(), upload(body), outbound()])
      expect(await readText(await send(request))).toBe('ok');
    expect(upstream.requests[1]?.body.equals(body)).toBe(true);
    expect([proxy.asked.length, upstream.connections, proxy.others]).toEqual([1, 1, []]);
  });

  it('is reached through a proxy that is itself reached by TLS', async () => {
    const { proxy, upstream, send } = await start({ identity: await ca.issue('proxy.test') });
    for (const _ of [1, 2]) await readText(await send(upload(Buffer.alloc(300_000))));
    expect([proxy.asked.length, upstream.requests]).toEqual([1, Array(2).fill('POST /o/a/chatfiles/x 300000')]);
  });

  it('is reached through a proxy that asks for a user and a password', async () => {
    const { proxy, send } = await start(
      { credentials: 'jürgen@corp:p@ss:w/rd' },
      server,
      'j%C3%BCrgen%40corp:p%40ss:w%2Frd@',
    );
    await readText(await send(outbound()));
    expect(proxy.asked).toHaveLength(1);
  });

  it('departs when its tunnel and TLS stand, not when the proxy was asked', async () => {
    const { proxy, send } = await start();
    const order: string[] = [];
    const onDeparture = () => order.push(`departed with ${proxy.open} open`);
    await readText(await send(outbound({ onDeparture })));
    await readText(await send(upload(Buffer.from('x'), { onDeparture })));
    expect(order).toEqual(Array(2).fill('departed with 1 open'));
    proxy.mood = 503;
    proxy.cut();
    await expect.poll(() => proxy.open).toBe(0);
    await send(outbound({ onDeparture }));
    expect(order).toHaveLength(2);
  });
});

describe('a proxy that opens no tunnel', () => {
  const both = (outcome: Outcome) => [mayRetry({ method: 'GET' }, outcome), mayRetry({ method: 'POST' }, outcome)];
  const FAILED = { kind: 'failure', cause: 'unreachable', sent: 'nothing', reused: false };

  it.each([
    [407, 'the proxy wants other credentials (407)', false],
    [403, 'the proxy refused the tunnel (403)', false],
    [429, 'the proxy refused the tunnel (429)', true],
    [502, 'the proxy refused the tunnel (502)', true],
    // Never what the upstream's own 503 means, after which the request would stand in line again, first.
    [503, 'the proxy refused the tunnel (503)', true],
    [204, 'the proxy refused the tunnel (204)', true],
  ])('but answers %i is told from the upstream', async (status, words, isRetried) => {
    const { proxy, upstream, send } = await start();
    proxy.mood = status;
    const outcome = await send(upload(Buffer.from('a secret file')));
    expect(outcome).toMatchObject(FAILED);
    expect([tellError(outcome), both(outcome)]).toEqual([words, [isRetried, isRetried]]);
    expect([upstream.connections, proxy.asked[0]?.bytesUp]).toEqual([0, 0]);
  });

  it.each([
    ['close', /^the proxy cannot be reached: /],
    ['babble', /^the proxy/],
  ] as const)('because it is of the mind to %s', async (mood, words) => {
    const { proxy, send } = await start();
    proxy.mood = mood;
    const outcome = await send(outbound());
    expect(outcome).toMatchObject(FAILED);
    expect([tellError(outcome), both(outcome)]).toEqual([expect.stringMatching(words), [true, true]]);
    proxy.mood = 'open';
    expect(await readText(await send(outbound()))).toBe('ok');
  });

  it('because nobody listens', async () => {
    const proxy = await startConnectProxy();
    const send = openWay(`https://${NAME}`, { proxy: 'http://user:pa55word@127.0.0.1:1' }, { tls });
    const outcome = await send(outbound());
    expect(outcome).toMatchObject({ ...FAILED, error: { code: 'ECONNREFUSED' } });
    expect(tellError(outcome)).toMatch(/^the proxy cannot be reached: /);
    expect(JSON.stringify([outcome, String((outcome as { error: Error }).error.stack)])).not.toMatch(/pa55word|user:/);
    expect(proxy.asked).toEqual([]);
  });

  it('because it cannot reach the upstream', async () => {
    const proxy = await startConnectProxy({ hosts: { [NAME]: 1 } });
    const send = openWay(`https://${NAME}`, { proxy: proxy.url }, { tls });
    expect(tellError(await send(outbound()))).toBe('the proxy refused the tunnel (502)');
  });

  it('because it hangs, and the connections to it are given up, so that the next ones find room', async () => {
    const clock = createFakeClock();
    const upstream = await startTlsUpstream({ key: server.key, cert: server.cert });
    const proxy = await startConnectProxy({ hosts: { [NAME]: upstream.port } });
    const send = openWay(`https://${NAME}`, { proxy: proxy.url, maxSockets: 2 }, { tls, clock });
    proxy.mood = 'hang';
    for (const round of [1, 2, 3]) {
      const outcomes = Promise.all([send(outbound()), send(upload(Buffer.from('x')))]);
      await expect.poll(() => proxy.asked.length).toBe(2 * round);
      await clock.advance(4500);
      for (const outcome of await outcomes) {
        expect(outcome).toMatchObject({ ...FAILED, error: { code: 'ETIMEDOUT' } });
        expect(tellError(outcome)).toBe('no tunnel through the proxy within 4500 ms');
      }
    }
    expect(clock.timers).toBe(0);
    proxy.mood = 'open';
    expect(await readText(await send(outbound()))).toBe('ok');
  });

  it('in time for a client that leaves meanwhile: the tunnel is the next one’s', async () => {
    const { proxy, upstream, send } = await start();
    proxy.mood = 'hang';
    const gone = new AbortController();
    const left = send(outbound({ signal: gone.signal }));
    await expect.poll(() => proxy.asked.length).toBe(1);
    gone.abort();
    expect(await left).toMatchObject({ kind: 'failure', sent: 'nothing' });
    proxy.goOn();
    await expect.poll(() => upstream.clients.length).toBe(1);
    await readText(await send(outbound()));
    expect([proxy.asked.length, upstream.requests.length]).toEqual([1, 1]);
  });

  it('whose own certificate is not trusted', async () => {
    await using other = await createAuthority('Somebody else');
    const { proxy, send } = await start({ identity: await other.issue('proxy.test') });
    const outcome = await send(outbound());
    expect(outcome).toMatchObject({ ...FAILED, isLasting: true });
    expect(tellError(outcome)).toMatch(/^the proxy cannot be reached: .*certificate/);
    expect(proxy.asked).toEqual([]);
  });
});

describe('TLS within a tunnel', () => {
  it.each([
    ['the certificate of another name', { names: ['evil.test'] }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['an expired certificate', { expired: true }, 'CERT_HAS_EXPIRED'],
  ])('goes no farther than %s', async (_case, options, code) => {
    const { upstream, send } = await start({}, await ca.issue(NAME, options));
    const outcome = await send(upload(Buffer.from('a secret file')));
    expect(outcome).toMatchObject({ cause: 'unreachable', sent: 'nothing', isLasting: true, error: { code } });
    expect([upstream.requests, upstream.bytesRead]).toEqual([[], 0]);
  });

  // A proxy that breaks TLS open with a certificate of its own, which nobody told us to trust.
  it('does not let itself be intercepted', async () => {
    await using other = await createAuthority('Interceptor');
    const { upstream, send } = await start({}, await other.issue(NAME));
    expect(await send(outbound())).toMatchObject({
      cause: 'unreachable',
      isLasting: true,
      error: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    });
    expect(upstream.bytesRead).toBe(0);
  });

  it.each([
    ['is cut', (socket: { destroy(): void }) => socket.destroy()],
    ['is nothing of the kind', (socket: { end(text: string): void }) => socket.end('HTTP/1.1 400 Bad\r\n\r\n')],
  ])('is a failure when it %s, before anything was sent', async (_case, misbehave) => {
    const far = createServer((socket) => {
      socket.on('error', () => {}).once('data', () => misbehave(socket));
    });
    far.listen(0, '127.0.0.1');
    await once(far, 'listening');
    onTestFinished(() => void far.close());
    const proxy = await startConnectProxy({ hosts: { [NAME]: (far.address() as AddressInfo).port } });
    const send = openWay(`https://${NAME}`, { proxy: proxy.url }, { tls });
    expect(await send(upload(Buffer.from('x')))).toMatchObject({ cause: 'unreachable', sent: 'nothing' });
    await expect.poll(() => proxy.open).toBe(0);
  });

  it('that hangs is given up in time, and leaves no tunnel', async () => {
    const clock = createFakeClock();
    const far = createServer((socket) => void socket.on('error', () => {}).resume());
    far.listen(0, '127.0.0.1');
    await once(far, 'listening');
    onTestFinished(() => void far.close());
    const proxy = await startConnectProxy({ hosts: { [NAME]: (far.address() as AddressInfo).port } });
    const send = openWay(`https://${NAME}`, { proxy: proxy.url }, { tls, clock });
    const outcome = send(outbound());
    await expect.poll(() => proxy.asked[0]?.bytesUp).toBeGreaterThan(0);
    await clock.advance(4500);
    expect(await outcome).toMatchObject({ cause: 'unreachable', sent: 'nothing', error: { code: 'ETIMEDOUT' } });
    await expect.poll(() => proxy.open).toBe(0);
  });

  it('checks the address where the upstream has no name', async () => {
    const good = await ca.issue('by address', { names: ['127.0.0.1'] });
    const upstream = await startTlsUpstream({ key: good.key, cert: good.cert });
    const proxy = await startConnectProxy();
    const send = openWay(`https://127.0.0.1:${upstream.port}`, { proxy: proxy.url }, { tls });
    expect(await readText(await send(outbound()))).toBe('ok');
    const bad = await startTlsUpstream({ key: server.key, cert: server.cert });
    const other = openWay(`https://127.0.0.1:${bad.port}`, { proxy: proxy.url }, { tls });
    expect(await other(outbound())).toMatchObject({ isLasting: true, error: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' } });
  });
});
