import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { ask, multipartOf } from '../kit/ask.ts';
import { createAuthority } from '../kit/certificates.ts';
import { APP, bearer, CHATFILES, fileOf, ORG } from '../kit/easemob.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { type Running, startGateway } from '../kit/gateway.ts';
import { startStreamBalancer } from '../kit/stream-balancer.ts';
import { binaryHeader, binaryHeaderOf, type Ends, lineHeader } from '../kit/proxy-header.ts';
import { connectRaw } from '../kit/raw-client.ts';

const V4: Ends = { from: '203.0.113.7', to: '192.0.2.1', fromPort: 51_234, toPort: 443 };
const V6: Ends = { from: '2001:db8::7', to: '2001:db8::1', fromPort: 51_234, toPort: 443 };
const REQUEST = Buffer.from('GET /x HTTP/1.1\r\nHost: gateway\r\n\r\n');
const ON = ['listen.proxyProtocol=on', 'listen.proxyProtocolFrom=127.0.0.1'];

const start = (set: string[] = [], more: Parameters<typeof startGateway>[0] = {}) =>
  startGateway({ ...more, set: [...ON, ...set] });
const portOf = ({ gateway }: Running) => Number(new URL(gateway.url).port);
const troubles = ({ notices }: Running) =>
  notices.flatMap(({ details }) => (details && 'trouble' in details ? [details] : []));

/** Sends bytes from an address of this machine, and gives what came back before the connection was closed or answered. */
async function send(running: Running, bytes: Uint8Array, count = 1) {
  using client = await connectRaw(running.gateway.url);
  await client.send(bytes);
  const { replies, end } = await client.replies(count);
  return { statuses: replies.map(({ status }) => status), end };
}

/** The same from an address that is no load balancer's. */
async function sendFromElsewhere(running: Running, bytes: Uint8Array): Promise<string> {
  const socket = connect({ port: portOf(running), host: '127.0.0.1', localAddress: '127.0.0.3' });
  socket.write(bytes);
  let text = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(socket, 'close');
  return text;
}

/** A request that has been there and back: what others sent before it has been read by now. */
const settled = (running: Running) => send(running, Buffer.concat([lineHeader(V4), REQUEST]));

describe('a connection from a load balancer', () => {
  it.each([
    ['version 1, IPv4', lineHeader(V4), V4.from],
    ['version 1, IPv6', lineHeader(V6), V6.from],
    ['version 2, IPv4', binaryHeaderOf(V4), V4.from],
    ['version 2, IPv6', binaryHeaderOf(V6), V6.from],
    ['version 2, with more behind the addresses', binaryHeaderOf(V4, new Uint8Array(300).fill(0x47)), V4.from],
  ])('is of the client that its header names: %s', async (_what, header, from) => {
    const running = await start();
    const { statuses, end } = await send(running, Buffer.concat([header, REQUEST, REQUEST]), 2);
    expect([statuses, end]).toEqual([[404, 404], 'open']);
    expect(running.summaries.map(({ client }) => client)).toEqual([from, from]);
  });

  it.each([
    ['version 1, unknown', Buffer.from('PROXY UNKNOWN\r\n')],
    ['version 2, its own', binaryHeader({})],
    [
      'version 2, a unix socket',
      binaryHeader({ command: 1, family: 3, transport: 1, addresses: Buffer.alloc(216, 9) }),
    ],
  ])('is its own where no client is named: %s', async (_what, header) => {
    const running = await start();
    expect(await send(running, Buffer.concat([header, REQUEST]))).toMatchObject({ statuses: [404] });
    expect(running.summaries).toMatchObject([{ client: '127.0.0.1' }]);
  });

  it.each([
    ['version 1', lineHeader(V4)],
    ['version 2', binaryHeaderOf(V6, new Uint8Array(9))],
  ])('may bring its bytes cut anywhere, and the request in one packet with the header: %s', async (_what, header) => {
    const running = await start();
    const bytes = Buffer.concat([header, REQUEST]);
    const cuts = Array.from({ length: bytes.length - 1 }, (_, index) => index + 1);
    const clients = await Promise.all(cuts.map(() => connectRaw(running.gateway.url)));
    await Promise.all(clients.map((client, index) => client.send(bytes.subarray(0, cuts[index]))));
    await settled(running);
    await Promise.all(clients.map((client, index) => client.send(bytes.subarray(cuts[index]))));
    const results = await Promise.all(clients.map((client) => client.replies(1)));
    for (const client of clients) client[Symbol.dispose]();
    expect(results.map(({ replies }) => replies.map(({ status }) => status))).toEqual(cuts.map(() => [404]));
    const { from } = header.includes('PROXY') ? V4 : V6;
    expect(running.summaries.slice(1).map(({ client }) => client)).toEqual(cuts.map(() => from));
  });

  it('may send a large upload behind its header', async () => {
    const { gateway, emulator, summaries } = await start();
    const bytes = fileOf(1_000_000);
    const { body, contentType } = multipartOf(bytes);
    const head =
      `POST ${CHATFILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${emulator.issueToken(ORG, APP)}\r\n` +
      `Content-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n\r\n`;
    using client = await connectRaw(gateway.url);
    await client.send(Buffer.concat([binaryHeaderOf(V4), Buffer.from(head), body]));
    const { replies } = await client.replies(1);
    expect(replies[0]?.status).toBe(200);
    await vi.waitFor(() => expect(summaries).toMatchObject([{ client: V4.from, bytesIn: body.length }]));
  });

  it('is closed where its header is missing or broken, with a warning for the first of a kind', async () => {
    const running = await start();
    const wrong = [
      REQUEST,
      Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1\r\nGET / HTTP/1.1\r\n\r\n'),
      binaryHeader({ command: 1, family: 9, transport: 1 }),
      Buffer.from('PROXY UNKNOWN '.padEnd(200, 'x')),
    ];
    for (const bytes of [...wrong, ...wrong]) {
      const { statuses, end } = await send(running, bytes);
      expect([statuses.length, end === 'open']).toEqual([0, false]);
    }
    expect(troubles(running)).toMatchObject([
      { trouble: 'proxy-header-missing', peer: '127.0.0.1' },
      { trouble: 'proxy-header-broken', peer: '127.0.0.1', detail: 'its ports are no ports' },
    ]);
    expect(running.summaries).toEqual([]);
  });

  it('is closed in silence when it closes at once, as a health check does', async () => {
    const running = await start();
    const check = connect(portOf(running), '127.0.0.1');
    await once(check, 'connect');
    check.end().resume();
    await once(check, 'close');
    expect(running.notices).toEqual([]);
  });

  it('is closed when its header does not come in time', async () => {
    const clock = createFakeClock();
    const running = await start(['limits.headTimeoutMs=2000'], { clock });
    using silent = await connectRaw(running.gateway.url);
    using slow = await connectRaw(running.gateway.url);
    await slow.send('PROXY TCP4 203.0.');
    await settled(running);
    await clock.advance(1000);
    await slow.send('113.7 ');
    await settled(running);
    await clock.advance(1000);
    expect((await silent.ended()).text + (await slow.ended()).text).toBe('');
    expect(troubles(running)).toMatchObject([{ trouble: 'proxy-header-late', peer: '127.0.0.1' }]);
  });

  it('counts among the open connections while its header has not come', async () => {
    const running = await start(['limits.maxConnections=3']);
    const waiting = await Promise.all([1, 2, 3].map(() => connectRaw(running.gateway.url)));
    await Promise.all(waiting.map((client) => client.send('PROXY ')));
    using fourth = await connectRaw(running.gateway.url);
    expect((await fourth.ended()).text).toBe('');
    await waiting[0]?.send(Buffer.concat([lineHeader(V4).subarray(6), REQUEST]));
    expect((await waiting[0]?.replies(1))?.replies).toMatchObject([{ status: 404 }]);
    for (const client of waiting) client[Symbol.dispose]();
  });

  it('is closed by a drain, but not while its header may be on its way', async () => {
    const clock = createFakeClock();
    const running = await start([], { clock });
    using lost = await connectRaw(running.gateway.url);
    using coming = await connectRaw(running.gateway.url);
    await Promise.all([lost.send('PROXY '), coming.send('PROXY ')]);
    await settled(running);
    const drained = running.gateway.drain();
    await clock.advance(500);
    await coming.send(Buffer.concat([lineHeader(V4).subarray(6), REQUEST]));
    expect((await coming.replies(1)).replies).toMatchObject([{ status: 404, headers: { connection: 'close' } }]);
    await clock.advance(600);
    await drained;
    expect((await lost.ended()).text).toBe('');
  });
});

describe('the address that a PROXY header names', () => {
  it('is limited like that of any client', async () => {
    const running = await start(['clientLimit.requests=2', 'clientLimit.seconds=3600']);
    const token = running.emulator.issueToken(ORG, APP);
    const request = Buffer.from(
      `GET ${CHATFILES}/0a0b0c0d-1111-2222-3333-444455556666 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    const asked = async (header: Buffer) => (await send(running, Buffer.concat([header, request]))).statuses[0];
    expect([await asked(lineHeader(V4)), await asked(binaryHeaderOf(V4)), await asked(lineHeader(V4))]).toEqual([
      404, 404, 503,
    ]);
    expect(await asked(lineHeader({ ...V4, from: '203.0.113.8' }))).toBe(404);
  });

  it('is the one of which trustedProxies decides whether its X-Forwarded-For is believed', async () => {
    const running = await start(['trustedProxies=203.0.113.0/28']);
    const request = Buffer.from('GET /x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n');
    await send(running, Buffer.concat([lineHeader(V4), request]));
    await send(running, Buffer.concat([lineHeader({ ...V4, from: '203.0.113.99' }), request]));
    expect(running.summaries.map(({ client }) => client)).toEqual(['198.51.100.9', '203.0.113.99']);
  });

  it('is that of what cannot be parsed, too', async () => {
    const running = await start();
    expect(
      await send(running, Buffer.concat([lineHeader(V4), Buffer.from('\x00\x01 nonsense\r\n\r\n')])),
    ).toMatchObject({
      statuses: [400],
    });
    expect(running.summaries).toMatchObject([{ client: V4.from, error: 'REQUEST_MALFORMED' }]);
  });
});

describe('a peer that is no load balancer', () => {
  it.each([
    ['version 1', lineHeader(V4)],
    ['version 2', binaryHeaderOf(V4)],
  ])('cannot name an address: its header is a malformed request, %s', async (_what, header) => {
    const running = await start();
    expect(await sendFromElsewhere(running, Buffer.concat([header, REQUEST]))).toMatch(/^HTTP\/1\.1 400 /);
    await vi.waitFor(() => expect(running.summaries).toMatchObject([{ client: '127.0.0.3', status: 400 }]));
  });

  it('speaks HTTP as ever', async () => {
    const running = await start();
    const reply = await ask(`${running.gateway.url}/x`, { from: '127.0.0.3' });
    expect([reply.status, running.summaries[0]?.client]).toEqual([404, '127.0.0.3']);
  });

  it('is everybody, unless the PROXY protocol is switched on', async () => {
    const running = await startGateway();
    expect(await send(running, Buffer.concat([lineHeader(V4), REQUEST]))).toMatchObject({ statuses: [400] });
  });

  it('becomes one by a reload of the list', async () => {
    const running = await start();
    const set = [...ON.slice(0, 1), 'listen.proxyProtocolFrom=127.0.0.0/29', 'upstream.url=http://127.0.0.1:1'];
    await running.gateway.reload((await loadConfig({ env: {}, set })).config);
    const socket = connect({ port: portOf(running), host: '127.0.0.1', localAddress: '127.0.0.3' });
    onTestFinished(() => void socket.destroy());
    socket.write(Buffer.concat([lineHeader(V6), REQUEST]));
    await once(socket, 'data');
    await vi.waitFor(() => expect(running.summaries).toMatchObject([{ client: V6.from }]));
  });
});

describe('a PROXY header in front of TLS', () => {
  async function startTls(set: string[] = []) {
    const ca = await createAuthority();
    onTestFinished(() => ca[Symbol.asyncDispose]());
    const { certFile, keyFile } = await ca.issue('127.0.0.1');
    const running = await start([`listen.tls.certFile=${certFile}`, `listen.tls.keyFile=${keyFile}`, ...set]);
    return { ca, running };
  }
  const reached = async (running: Running): Promise<Socket> => {
    const socket = connect(portOf(running), '127.0.0.1')
      .setNoDelay()
      .on('error', () => {});
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    return socket;
  };

  it.each([
    ['version 1', lineHeader(V4), V4.from],
    ['version 2', binaryHeaderOf(V6), V6.from],
  ])('names the client of what is said within, by %s', async (_what, header, from) => {
    const { ca, running } = await startTls();
    const socket = await reached(running);
    socket.write(header);
    const secure = connectTls({ socket, ca: ca.cert, host: '127.0.0.1' });
    secure.write(REQUEST);
    const [answer] = (await once(secure, 'data')) as [Buffer];
    expect(String(answer)).toMatch(/^HTTP\/1\.1 404 [^]*strict-transport-security: max-age/i);
    expect(running.summaries).toMatchObject([{ client: from }]);
  });

  it('may be cut anywhere, and come in one packet with the first bytes of the handshake', async () => {
    const { ca, running } = await startTls();
    const header = binaryHeaderOf(V4, new Uint8Array(5));
    const elsewhere = () => ask(`${running.gateway.url}/x`, { tls: { ca: ca.cert }, from: '127.0.0.3' });
    let cut = 0;
    // A balancer that sends so many bytes of header and handshake, waits until they are read, and then the others.
    const balancer = createServer((near) => {
      const at = (cut += 1);
      const far = connect(portOf(running), '127.0.0.1').setNoDelay();
      near.on('close', () => far.destroy()).on('error', () => {});
      far.on('close', () => near.destroy()).on('error', () => {});
      near.once('data', (first) => {
        const bytes = Buffer.concat([header, first]);
        near.pause();
        const others = () => {
          far.write(bytes.subarray(at));
          near.pipe(far).pipe(near);
        };
        far.write(bytes.subarray(0, at), () => void elsewhere().finally(others));
      });
    }).listen(0, '127.0.0.1');
    await once(balancer, 'listening');
    onTestFinished(() => void balancer.close());
    const url = `https://127.0.0.1:${(balancer.address() as AddressInfo).port}/x`;
    const cuts = header.length + 3;
    const replies = await Promise.all(Array.from({ length: cuts }, () => ask(url, { tls: { ca: ca.cert } })));
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 404));
    const named = running.summaries.map(({ client }) => client).filter((client) => client !== '127.0.0.3');
    expect(named).toEqual(replies.map(() => V4.from));
  });

  it('is followed by plain HTTP in vain', async () => {
    const { running } = await startTls();
    expect(await send(running, Buffer.concat([lineHeader(V4), REQUEST]))).toMatchObject({ statuses: [400] });
    expect(running.summaries).toMatchObject([{ error: 'TLS_REQUIRED', client: V4.from }]);
  });

  it('is not believed from anybody else', async () => {
    const { running } = await startTls();
    expect(await sendFromElsewhere(running, Buffer.concat([lineHeader(V4), REQUEST]))).toMatch(/^HTTP\/1\.1 400 /);
    expect(running.summaries).toMatchObject([{ client: '127.0.0.3' }]);
  });
});

describe('behind a real nginx that passes connections on', () => {
  it('every client is itself', async () => {
    const running = await start();
    const { port } = await startStreamBalancer(portOf(running));
    const token = running.emulator.issueToken(ORG, APP);
    const { body, contentType } = multipartOf(fileOf(200_000));
    const headers = bearer(token, { 'content-type': contentType });
    const url = `http://127.0.0.1:${port}${CHATFILES}`;
    const up = await ask(url, { method: 'POST', headers, body, from: '127.0.0.2' });
    const other = await ask(`${url}/x`, { headers, from: '127.0.0.5' });
    expect([up.status, other.status]).toEqual([200, 404]);
    expect(running.summaries.map(({ client }) => client)).toEqual(['127.0.0.2', '127.0.0.5']);
    expect(running.notices).toEqual([]);
  });

  it('also with TLS through it', async () => {
    const ca = await createAuthority();
    onTestFinished(() => ca[Symbol.asyncDispose]());
    const { certFile, keyFile } = await ca.issue('127.0.0.1');
    const running = await start([`listen.tls.certFile=${certFile}`, `listen.tls.keyFile=${keyFile}`]);
    const { port } = await startStreamBalancer(portOf(running));
    const reply = await ask(`https://127.0.0.1:${port}/x`, { tls: { ca: ca.cert }, from: '127.0.0.2' });
    expect([reply.status, running.summaries[0]?.client]).toEqual([404, '127.0.0.2']);
  });
});
