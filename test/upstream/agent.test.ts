import type { LookupAddress } from 'node:dns';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createNames, type Names } from '../../src/upstream/dns.ts';
import { openTls, type TlsConfig, type UpstreamTls } from '../../src/upstream/tls.ts';
import { mayRetry } from '../../src/upstream/retry-table.ts';
import { type Authority, createAuthority, type Identity } from '../kit/certificates.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { startTlsUpstream } from '../kit/tls-upstream.ts';
import { openWay, outbound, readText, upload } from './outbound-kit.ts';

const NAME = 'a1.easemob.test';

const at = (...addresses: string[]): LookupAddress[] => addresses.map((address) => ({ address, family: 4 }));

/** Names that are all at these addresses, as a resolver says that tests change. */
const namesAt = (...addresses: string[]): Names =>
  createNames({ ttlMs: 30_000 }, systemClock, () => Promise.resolve(at(...addresses)));

describe('a certificate', () => {
  let ca: Authority;
  let server: Identity;
  beforeAll(async () => {
    ca = await createAuthority();
    server = await ca.issue(NAME);
  });
  afterAll(() => ca[Symbol.asyncDispose]());

  async function tlsOf(config: Partial<TlsConfig> = {}): Promise<UpstreamTls> {
    const opened = await openTls({ caFile: ca.certFile, caOnly: false, minTlsVersion: 'TLSv1.2', ...config });
    if ('mistakes' in opened) throw new Error(JSON.stringify(opened.mistakes));
    return opened;
  }

  it('of an authority in caFile is trusted, for several requests on one connection', async () => {
    const upstream = await startTlsUpstream({ key: server.key, cert: server.cert });
    const names = namesAt('127.0.0.1');
    const send = openWay(`https://${NAME}:${upstream.port}`, {}, { tls: await tlsOf(), names });
    for (const _ of [1, 2, 3]) expect(await readText(await send(outbound()))).toBe('ok');
    expect(upstream.connections).toBe(1);
  });

  it.each([
    ['for another name', { names: ['evil.test'] }, {}, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['that has expired', { expired: true }, {}, 'CERT_HAS_EXPIRED'],
    ['of an unknown authority', {}, { caFile: undefined }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ])('%s gets nothing of a request, which is not tried again', async (_case, options, config, code) => {
    const wrong = await ca.issue(NAME, options);
    const upstream = await startTlsUpstream({ key: wrong.key, cert: wrong.cert });
    const names = namesAt('127.0.0.1');
    const send = openWay(`https://${NAME}:${upstream.port}`, {}, { tls: await tlsOf(config), names });
    const outcome = await send(upload(Buffer.from('a secret file')));
    expect(outcome).toMatchObject({ cause: 'unreachable', sent: 'nothing', isLasting: true, error: { code } });
    expect([mayRetry({ method: 'GET' }, outcome), upstream.requests, upstream.bytesRead]).toEqual([false, [], 0]);
  });

  it('of ours is shown to an upstream that asks for it, whatever its passphrase', async () => {
    const client = await ca.issue('the gateway', { names: ['gateway.test'], passphrase: 'open sesame' });
    const mutual = { requestCert: true, rejectUnauthorized: true, ca: ca.cert };
    const upstream = await startTlsUpstream({ key: server.key, cert: server.cert, ...mutual });
    const tls = await tlsOf({ certFile: client.certFile, keyFile: client.keyFile, keyPassphrase: 'open sesame' });
    const send = openWay(`https://${NAME}:${upstream.port}`, {}, { tls, names: namesAt('127.0.0.1') });
    for (const _ of [1, 2]) expect(await readText(await send(upload(Buffer.from('x'))))).toBe('ok');
    expect(upstream.clients).toEqual(['CN=the gateway']);
  });

  // With TLS 1.2 the refusal comes within the handshake, and its code says only that there was none.
  it.each([
    ['TLSv1.2', 'nothing', false],
    ['TLSv1.3', 'whole', true],
  ] as const)('of ours that an upstream misses is a failure of TLS, by %s', async (maxVersion, sent, isLasting) => {
    const mutual = { requestCert: true, rejectUnauthorized: true, ca: ca.cert, maxVersion };
    const upstream = await startTlsUpstream({ key: server.key, cert: server.cert, ...mutual });
    const names = namesAt('127.0.0.1');
    const send = openWay(`https://${NAME}:${upstream.port}`, {}, { tls: await tlsOf(), names });
    const outcome = await send(upload(Buffer.from('x')));
    expect(outcome).toMatchObject({ kind: 'failure', cause: 'unreachable', sent, isLasting });
    expect(upstream.requests).toEqual([]);
  });

  it('does not help an upstream that speaks too old a TLS', async () => {
    const upstream = await startTlsUpstream({ key: server.key, cert: server.cert, maxVersion: 'TLSv1.2' });
    const names = namesAt('127.0.0.1');
    const tls = await tlsOf({ minTlsVersion: 'TLSv1.3' });
    const send = openWay(`https://${NAME}:${upstream.port}`, {}, { tls, names });
    expect(await send(outbound())).toMatchObject({ cause: 'unreachable', sent: 'nothing' });
    expect(upstream.requests).toEqual([]);
  });
});

describe('the addresses behind a name', () => {
  /** An upstream that answers with its address, and counts its connections. */
  async function startAt(host: string, port = 0): Promise<{ port: number; connections: () => number; server: Server }> {
    let connections = 0;
    const server = createServer({ keepAliveTimeout: 60_000 }, (_request, answer) => void answer.end(host));
    server.on('connection', () => {
      connections += 1;
    });
    server.listen(port, host);
    await once(server, 'listening');
    onTestFinished(async () => {
      server.close();
      server.closeAllConnections();
    });
    return { port: (server.address() as AddressInfo).port, connections: () => connections, server };
  }

  it('are followed when they change, also by connections that are always busy', async () => {
    const first = await startAt('127.0.0.1');
    const second = await startAt('127.0.0.2', first.port);
    const clock = createFakeClock();
    let answer = at('127.0.0.1');
    const names = createNames({ ttlMs: 30_000 }, clock, () => Promise.resolve(answer));
    const send = openWay(`http://${NAME}:${first.port}`, {}, { names });
    const ask = async () => readText(await send(outbound()));
    expect([await ask(), await ask()]).toEqual(['127.0.0.1', '127.0.0.1']);
    expect(first.connections()).toBe(1);
    answer = at('127.0.0.2');
    expect(await ask()).toBe('127.0.0.1');
    await clock.advance(30_000);
    // The first one after that finds out, when it hands its connection back; from then on, the old one is gone.
    await ask();
    await clock.advance(0);
    await ask();
    expect([await ask(), await ask(), await ask()]).toEqual(Array(3).fill('127.0.0.2'));
    expect([first.connections(), second.connections()]).toEqual([1, 1]);
  });

  it('are tried in turn when one refuses, which then stands last', async () => {
    const alive = await startAt('127.0.0.2');
    const names = namesAt('127.0.0.3', '127.0.0.2');
    const send = openWay(`http://${NAME}:${alive.port}`, { maxSockets: 1 }, { names });
    expect(await readText(await send(upload(Buffer.from('x'))))).toBe('127.0.0.2');
    const { promise, resolve } = Promise.withResolvers();
    names.lookup(NAME, { all: true }, (_error, found) => resolve(found));
    expect(await promise).toEqual(at('127.0.0.2', '127.0.0.3'));
  });

  it('that all refuse are asked for again as soon as that makes sense', async () => {
    const alive = await startAt('127.0.0.2');
    const clock = createFakeClock();
    let answer = at('127.0.0.3', '127.0.0.4');
    const names = createNames({ ttlMs: 30_000 }, clock, () => Promise.resolve(answer));
    const send = openWay(`http://${NAME}:${alive.port}`, {}, { names });
    const failed = await send(outbound());
    expect(failed).toMatchObject({ cause: 'unreachable', sent: 'nothing', error: { code: 'ECONNREFUSED' } });
    // Each address is told, and not only that there were several.
    expect(failed.kind === 'failure' && failed.error.message).toMatch(/127\.0\.0\.3.*; .*127\.0\.0\.4/);
    answer = at('127.0.0.2');
    await clock.advance(1000);
    await send(outbound());
    expect(await readText(await send(outbound()))).toBe('127.0.0.2');
  });

  it('that is a single one is doubted, too', async () => {
    const alive = await startAt('127.0.0.2');
    const clock = createFakeClock();
    let answer = at('127.0.0.3');
    const names = createNames({ ttlMs: 30_000 }, clock, () => Promise.resolve(answer));
    const send = openWay(`http://${NAME}:${alive.port}`, {}, { names });
    await send(outbound());
    answer = at('127.0.0.2');
    await clock.advance(1000);
    await send(outbound());
    expect(await readText(await send(outbound()))).toBe('127.0.0.2');
  });

  it('serve on while the resolver is down, and there is none without ever an answer', async () => {
    const upstream = await startAt('127.0.0.1');
    const clock = createFakeClock();
    let isDown = false;
    const names = createNames({ ttlMs: 30_000 }, clock, () =>
      isDown
        ? Promise.reject(Object.assign(new Error('SERVFAIL'), { code: 'EAI_AGAIN' }))
        : Promise.resolve(at('127.0.0.1')),
    );
    const send = openWay(`http://${NAME}:${upstream.port}`, {}, { names });
    expect(await readText(await send(outbound()))).toBe('127.0.0.1');
    isDown = true;
    await clock.advance(30_000);
    upstream.server.closeAllConnections();
    await expect.poll(async () => (await send(outbound())).kind).toBe('answer');
    const other = openWay(`http://other.test:${upstream.port}`, {}, { names });
    expect(await other(outbound())).toMatchObject({
      cause: 'unreachable',
      sent: 'nothing',
      error: { code: 'EAI_AGAIN' },
    });
  });

  it('are not looked up for an upstream that is an address itself', async () => {
    const upstream = await startAt('127.0.0.1');
    let asked = 0;
    const names = createNames({ ttlMs: 0 }, systemClock, () => {
      asked += 1;
      return Promise.reject(new Error('nobody may ask'));
    });
    const send = openWay(`http://127.0.0.1:${upstream.port}`, {}, { names });
    for (const _ of [1, 2]) expect(await readText(await send(outbound()))).toBe('127.0.0.1');
    expect([asked, upstream.connections()]).toEqual([0, 1]);
  });

  it('are those of the proxy where there is one', async () => {
    const proxy = createTcpServer((socket) => void socket.end('HTTP/1.1 502 Bad\r\n\r\n'));
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    onTestFinished(() => void proxy.close());
    const asked: string[] = [];
    const names = createNames({ ttlMs: 30_000 }, systemClock, (name) => {
      asked.push(name);
      return Promise.resolve(at('127.0.0.1'));
    });
    const through = `http://proxy.test:${(proxy.address() as AddressInfo).port}`;
    const send = openWay(`https://${NAME}`, { proxy: through }, { names });
    expect(await send(outbound())).toMatchObject({ error: { message: 'the proxy refused the tunnel (502)' } });
    expect(asked).toEqual(['proxy.test']);
  });
});
