import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile } from 'node:fs/promises';
import { Agent as TlsAgent } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Config, ConfigError, loadConfig } from '../../src/config.ts';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { ask, multipartOf } from '../kit/ask.ts';
import { type Authority, createAuthority, type Identity } from '../kit/certificates.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, type Uploaded } from '../kit/easemob.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { type Running, startGateway } from '../kit/gateway.ts';
import { startGatewayProcess } from '../kit/process.ts';
import { connectRaw } from '../kit/raw-client.ts';

let ca: Authority;
let clients: Authority;
let strangers: Authority;
let server: Identity;
let alice: Identity;
let mallory: Identity;
let outdated: Identity;

beforeAll(async () => {
  [ca, clients, strangers] = await Promise.all([
    createAuthority(),
    createAuthority('Clients CA'),
    createAuthority('Strangers CA'),
  ]);
  server = await ca.issue('127.0.0.1');
  alice = await clients.issue('alice');
  mallory = await strangers.issue('alice');
  outdated = await clients.issue('old', { expired: true });
});
afterAll(() => Promise.all([ca, clients, strangers].map((each) => each[Symbol.asyncDispose]())));

const own = ({ certFile, keyFile }: Identity) => [`listen.tls.certFile=${certFile}`, `listen.tls.keyFile=${keyFile}`];
const asking = (mode: string) => [
  `listen.tls.clientCertificates=${mode}`,
  `listen.tls.clientCaFile=${clients.certFile}`,
];
const trust = (more: ConnectionOptions = {}): ConnectionOptions => ({ ca: ca.cert, ...more });
const shown = ({ cert, key }: Identity): ConnectionOptions => trust({ cert, key });
const start = (set: string[] = [], more: Parameters<typeof startGateway>[0] = {}) =>
  startGateway({ ...more, set: [...own(server), ...set] });
const missing = `${CHATFILES}/0a0b0c0d-1111-2222-3333-444455556666`;

/** Asks for a file that is not there: an answer of Easemob's, on a connection like these. */
const status = async ({ gateway, emulator }: Running, tls: ConnectionOptions): Promise<number> => {
  const headers = bearer(emulator.issueToken(ORG, APP));
  return (await ask(`${gateway.url}${missing}`, { headers, tls })).status;
};

/** A handshake; gives the socket, or the error that either side ended it with. */
async function shakeHands(url: string, options: ConnectionOptions): Promise<TLSSocket | NodeJS.ErrnoException> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), ...options });
  onTestFinished(() => void socket.destroy());
  try {
    await once(socket, 'secureConnect');
    return socket;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

const troubles = ({ notices }: Running) =>
  notices.flatMap(({ details }) => (details && 'trouble' in details ? [details] : []));

describe('TLS on the clients port', () => {
  it('carries files up and down, and every answer tells browsers to stay with https', async () => {
    const running = await start();
    const { gateway, emulator } = running;
    expect(gateway.url).toMatch(/^https:\/\/127\.0\.0\.1:/);
    const bytes = fileOf(300_000);
    const { body, contentType } = multipartOf(bytes);
    const token = emulator.issueToken(ORG, APP);
    const headers = bearer(token, { 'content-type': contentType });
    const up = await ask(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body, tls: trust() });
    const answer = JSON.parse(String(up.body)) as Uploaded;
    expect(up.status).toBe(200);
    expect(answer.uri).toBe(`${gateway.url}${CHATFILES}`);
    const place = `${gateway.url}${CHATFILES}/${answer.entities[0].uuid}`;
    const down = await ask(place, { headers: bearer(token), tls: trust() });
    expect(Buffer.from(bytes).equals(down.body)).toBe(true);
    const refused = await ask(`${gateway.url}/`, { tls: trust() });
    for (const reply of [up, down, refused]) {
      expect(reply.headers['strict-transport-security']).toBe('max-age=31536000');
    }
  });

  it('says nothing of https where that is switched off, or where TLS is spoken by others', async () => {
    const silent = await start(['listen.tls.hstsSeconds=0']);
    expect((await ask(silent.gateway.url, { tls: trust() })).headers).not.toHaveProperty('strict-transport-security');
    const plain = await startGateway();
    expect((await ask(plain.gateway.url)).headers).not.toHaveProperty('strict-transport-security');
  });

  it('offers HTTP/1.1, and not HTTP/2', async () => {
    const { gateway } = await start();
    const both = await shakeHands(gateway.url, trust({ ALPNProtocols: ['h2', 'http/1.1'] }));
    expect(both).toMatchObject({ alpnProtocol: 'http/1.1' });
    expect(await shakeHands(gateway.url, trust({ ALPNProtocols: ['h2'] }))).toBeInstanceOf(Error);
  });

  it('speaks no version below its minimum, which may be 1.3', async () => {
    const usual = await start();
    expect(await status(usual, trust({ maxVersion: 'TLSv1.2' }))).toBe(404);
    // Our own client speaks what is as old as that only at a lower level of security.
    const old = trust({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
    expect(await shakeHands(usual.gateway.url, old)).toMatchObject({ code: expect.stringMatching(/PROTOCOL_VERSION/) });
    const strict = await start(['listen.tls.minVersion=TLSv1.3']);
    expect(await status(strict, trust({ maxVersion: 'TLSv1.2' }))).toBe(0);
    expect(await status(strict, trust())).toBe(404);
    expect(troubles(strict)).toEqual([
      { trouble: 'handshake-failed', peer: '127.0.0.1', detail: 'ERR_SSL_UNSUPPORTED_PROTOCOL' },
    ]);
  });

  it('tells whoever speaks plain HTTP what is spoken here, and records it', async () => {
    const { gateway, summaries } = await start();
    using client = await connectRaw(gateway.url.replace('https:', 'http:'));
    await client.send('GET /o1/a1/chatfiles/x HTTP/1.1\r\nHost: x\r\n\r\n');
    const { replies, end } = await client.ended();
    expect(end).toBe('closed');
    expect(replies).toHaveLength(1);
    expect(JSON.parse(String(replies[0]?.body))).toMatchObject({
      error: 'illegal_argument',
      error_description: 'TLS is spoken here: use https://.',
    });
    expect(replies[0]?.status).toBe(400);
    expect(replies[0]?.headers).not.toHaveProperty('strict-transport-security');
    expect(summaries).toMatchObject([{ status: 400, error: 'TLS_REQUIRED', client: '127.0.0.1' }]);
  });

  it('closes what is neither, and makes one line of a thousand such connections', async () => {
    const running = await start();
    const { port } = new URL(running.gateway.url);
    const noise = async () => {
      const socket = connectPlain(Number(port), '127.0.0.1');
      socket.on('error', () => {}).resume();
      socket.write(Buffer.alloc(64, 0x80));
      await once(socket, 'close');
    };
    for (let round = 0; round < 20; round += 1) await Promise.all(Array.from({ length: 50 }, noise));
    expect(troubles(running)).toMatchObject([{ trouble: 'handshake-failed', peer: '127.0.0.1' }]);
    expect(running.summaries).toEqual([]);
    expect(await status(running, trust())).toBe(404);
  });

  it('gives up a handshake that takes too long, whether it has begun or not', async () => {
    const clock = createFakeClock();
    const running = await start(['limits.headTimeoutMs=3000'], { clock });
    const { port } = new URL(running.gateway.url);
    const silent = connectPlain(Number(port), '127.0.0.1').on('error', () => {});
    const begun = connectPlain(Number(port), '127.0.0.1').on('error', () => {});
    await Promise.all([once(silent, 'connect'), once(begun, 'connect')]);
    const closed = Promise.all([once(silent.resume(), 'close'), once(begun.resume(), 'close')]);
    // The first bytes of a ClientHello, of which the rest does not come.
    begun.write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
    // An answer has come through the same loop after them.
    expect(await status(running, trust())).toBe(404);
    await clock.advance(3000);
    await closed;
    expect(troubles(running)).toEqual([{ trouble: 'handshake-late', peer: '127.0.0.1' }]);
  });

  it('is not held up in a drain by those who have not finished their handshake', async () => {
    const clock = createFakeClock();
    const running = await start([], { clock });
    const socket = connectPlain(Number(new URL(running.gateway.url).port), '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    socket.resume().write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
    expect(await status(running, trust())).toBe(404);
    const drained = running.gateway.drain();
    const over = drained.then(() => true);
    // A drain takes turns of the event loop, which no clock tells: how many is its own business.
    while (!(await Promise.race([over, clock.advance(500).then(() => false)])));
    expect(await drained).toMatchObject({ cut: 0 });
  });
});

describe("clients' certificates", () => {
  const nameOf = ({ cert }: Identity) =>
    `alice sha256:${new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase().slice(0, 16)}`;

  it('are recorded on the short way too, from memory', async () => {
    const { gateway, emulator, summaries } = await start(asking('require'));
    const token = emulator.issueToken(ORG, APP);
    const tls = shown(alice);
    const picture = await sharp({ create: { width: 300, height: 200, channels: 3, background: '#fa0' } })
      .png({ compressionLevel: 0 })
      .toBuffer();
    const { body, contentType } = multipartOf(picture);
    const headers = bearer(token, { 'content-type': contentType });
    const up = await ask(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body, tls });
    const { uuid } = (JSON.parse(String(up.body)) as Uploaded).entities[0];
    const look = () =>
      ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token, { thumbnail: 'true' }), tls });
    await look();
    const kept = await look();
    expect(kept.headers['cache-status']).toMatch(/hit/);
    expect(kept.headers['strict-transport-security']).toBe('max-age=31536000');
    await vi.waitFor(() => expect(summaries[2]).toMatchObject({ client: '127.0.0.1', clientCert: nameOf(alice) }));
  });

  it('are recorded by name and digest, with a ticket too', async () => {
    const running = await start(asking('require'));
    const { gateway, emulator, summaries } = running;
    expect(await status(running, shown(alice))).toBe(404);
    expect(summaries).toMatchObject([{ clientCert: nameOf(alice) }]);
    const first = await shakeHands(gateway.url, shown(alice));
    if (first instanceof Error) throw first;
    const [session] = (await once(first, 'session')) as [Buffer];
    const again = await shakeHands(gateway.url, { ...shown(alice), session });
    if (again instanceof Error) throw again;
    expect(again.isSessionReused()).toBe(true);
    again.write(`GET ${missing} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${emulator.issueToken(ORG, APP)}\r\n\r\n`);
    await once(again, 'data');
    await vi.waitFor(() => expect(summaries[1]).toMatchObject({ clientCert: nameOf(alice) }));
  });

  it.each([
    ['none', () => trust(), 'client-certificate-missing'],
    ["another authority's", () => shown(mallory), 'client-certificate-refused'],
    ['one out of its time', () => shown(outdated), 'client-certificate-refused'],
  ])('are required: a client with %s reaches nothing', async (_what, options, trouble) => {
    const running = await start(asking('require'));
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      expect(await status(running, { ...options(), maxVersion })).toBe(0);
    }
    await vi.waitFor(() => expect(troubles(running)).toMatchObject([{ trouble, peer: '127.0.0.1' }]));
    expect(running.summaries).toEqual([]);
  });

  it('may be asked for only: a client may have none, but not a bad one', async () => {
    const running = await start(asking('request'));
    expect(await status(running, trust())).toBe(404);
    expect(await status(running, shown(alice))).toBe(404);
    expect(running.summaries.map(({ clientCert }) => clientCert)).toEqual([
      undefined,
      expect.stringMatching(/^alice /),
    ]);
    expect(await status(running, shown(mallory))).toBe(0);
    expect(troubles(running)).toMatchObject([
      { trouble: 'client-certificate-refused', peer: '127.0.0.1', detail: expect.stringMatching(/^[A-Z_]+$/) },
    ]);
    expect(running.summaries).toHaveLength(2);
  });

  it('are not asked for by default', async () => {
    const running = await start();
    expect(await status(running, shown(mallory))).toBe(404);
    expect(running.summaries).toMatchObject([{ clientCert: undefined }]);
  });
});

describe('another certificate', () => {
  /** A gateway whose certificate lies in files of its own, and its configuration. */
  async function startRenewable(set: string[] = []) {
    const renewed = await ca.issue('127.0.0.1');
    const [certFile, keyFile] = [join(ca.folder, 'live.pem'), join(ca.folder, 'live.key')];
    const lay = ({ certFile: cert, keyFile: key }: Identity) =>
      Promise.all([copyFile(cert, certFile), copyFile(key, keyFile)]);
    await lay(server);
    const keys = [`listen.tls.certFile=${certFile}`, `listen.tls.keyFile=${keyFile}`, ...set];
    const running = await startGateway({ set: keys });
    const read = async (more: string[] = []): Promise<Config> =>
      (await loadConfig({ env: {}, set: ['upstream.url=http://127.0.0.1:1', ...keys, ...more] })).config;
    return { running, certFile, keyFile, renewed, lay, read };
  }
  const serial = ({ cert }: Identity) => new X509Certificate(cert).serialNumber;
  const serialShown = async ({ gateway }: { gateway: { url: string } }, options: ConnectionOptions = trust()) => {
    const socket = await shakeHands(gateway.url, options);
    if (socket instanceof Error) throw socket;
    const certificate = socket.getPeerX509Certificate();
    socket.destroy();
    return certificate?.serialNumber;
  };

  it('is shown after a reload, while connections that are open go on', async () => {
    const { running, renewed, lay, read } = await startRenewable();
    const agent = new TlsAgent({ keepAlive: true, maxSockets: 1, ...trust() });
    onTestFinished(() => agent.destroy());
    const sockets = new Set<unknown>();
    agent.on('free', (socket) => sockets.add(socket));
    const asks = () => ask(`${running.gateway.url}/`, { agent });
    expect((await asks()).status).toBe(404);
    await lay(renewed);
    await running.gateway.reload(await read());
    expect((await asks()).status).toBe(404);
    await vi.waitFor(() => expect(sockets.size).toBe(1));
    expect(await serialShown(running)).toBe(serial(renewed));
    expect(running.notices.map(({ message }) => message)).toContain(
      'clients are shown another certificate from now on',
    );
  });

  it('that cannot be used changes nothing, and is told by its key and its file', async () => {
    const { running, keyFile, renewed, read } = await startRenewable();
    await copyFile(renewed.keyFile, keyFile);
    const reload = running.gateway.reload(await read(['limits.fileBytes=1KB']));
    await expect(reload).rejects.toThrow(ConfigError);
    await expect(reload).rejects.toThrow(
      `listen.tls.keyFile: is not the key of the (first) certificate in listen.tls.certFile: ${keyFile}`,
    );
    expect(await serialShown(running)).toBe(serial(server));
    const { body, contentType } = multipartOf(fileOf(5000));
    const headers = bearer(running.emulator.issueToken(ORG, APP), { 'content-type': contentType });
    const up = await ask(`${running.gateway.url}${CHATFILES}`, { method: 'POST', headers, body, tls: trust() });
    expect(up.status).toBe(200);
  });

  it('cannot begin or end TLS', async () => {
    const { running, read } = await startRenewable();
    const config = await read();
    config.listen.tls = { ...config.listen.tls, certFile: undefined, keyFile: undefined };
    await expect(running.gateway.reload(config)).rejects.toThrow(/listen\.tls\.certFile: cannot begin or end TLS/);
    const plain = await startGateway();
    await expect(plain.gateway.reload(await read())).rejects.toThrow(/cannot begin or end TLS/);
  });

  it('of the authority of clients counts from then on, and public ones never do', async () => {
    const { running, read } = await startRenewable(asking('require'));
    expect(await status(running, shown(alice))).toBe(404);
    await running.gateway.reload(await read([`listen.tls.clientCaFile=${strangers.certFile}`]));
    expect(await status(running, shown(alice))).toBe(0);
    expect(await status(running, shown(mallory))).toBe(404);
    const without = await read();
    without.listen.tls.clientCaFile = undefined;
    await running.gateway.reload(without);
    expect(await status(running, shown(alice))).toBe(0);
    expect(await status(running, shown(mallory))).toBe(404);
  });

  it('may raise the oldest version that is spoken', async () => {
    const { running, read } = await startRenewable();
    await running.gateway.reload(await read(['listen.tls.minVersion=TLSv1.3']));
    expect(await status(running, trust({ maxVersion: 'TLSv1.2' }))).toBe(0);
    expect(await status(running, trust())).toBe(404);
  });

  it('is taken when its files have changed, without anybody saying so', async () => {
    const { certFile, keyFile, renewed, lay } = await startRenewable();
    const emulator = await createEmulator();
    onTestFinished(() => emulator[Symbol.asyncDispose]());
    await lay(server);
    const files = [`listen.tls.certFile=${certFile}`, `listen.tls.keyFile=${keyFile}`];
    await using gateway = await startGatewayProcess([`upstream.url=${emulator.url}`, 'reload.everyMs=50', ...files]);
    const at = { gateway: { url: gateway.url } };
    expect(await serialShown(at)).toBe(serial(server));
    await lay(renewed);
    await vi.waitFor(async () => expect(await serialShown(at)).toBe(serial(renewed)), 10_000);
    expect(await gateway.stop()).toContain('clients are shown another certificate from now on');
  });
});
