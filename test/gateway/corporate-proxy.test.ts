import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { ask, multipartOf } from '../kit/ask.ts';
import { type Authority, createAuthority, type Identity } from '../kit/certificates.ts';
import { type ConnectProxyOptions, startConnectProxy } from '../kit/connect-proxy.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { startGatewayProcess } from '../kit/process.ts';
import { startTlsFront } from '../kit/tls-front.ts';

const PICTURE = new Uint8Array(await readFile(new URL('../../samples/picture.jpg', import.meta.url)));
const NAME = 'a1.easemob.test';
const FILE = `${CHATFILES}/0a0b0c0d-1111-2222-3333-444455556666`;
const PASSWORD = 'c0rporate-pa55word';
const PASSPHRASE = 'open-sesame-pa55phrase';
/** A proxy's password as it may show up, and as it travels. */
const SECRETS = [PASSWORD, PASSPHRASE, Buffer.from(`gateway:${PASSWORD}`).toString('base64').slice(0, -4)];

let ca: Authority;
let server: Identity;
let client: Identity;
beforeAll(async () => {
  ca = await createAuthority();
  server = await ca.issue(NAME);
  client = await ca.issue('the gateway', { names: ['gateway.test'], passphrase: PASSPHRASE });
});
afterAll(() => ca[Symbol.asyncDispose]());

/** Easemob behind TLS that asks for a certificate, and a proxy that alone knows where it is. */
async function startBehindProxy(options: ConnectProxyOptions = { credentials: `gateway:${PASSWORD}` }) {
  const emulator = await createEmulator({ limiter: { algorithm: 'off' } });
  onTestFinished(() => emulator[Symbol.asyncDispose]());
  const mutual = { requestCert: true, rejectUnauthorized: true, ca: ca.cert };
  const front = await startTlsFront(Number(new URL(emulator.url).port), {
    key: server.key,
    cert: server.cert,
    ...mutual,
  });
  const proxy = await startConnectProxy({ ...options, hosts: { [NAME]: front.port } });
  const set = [
    'quota.perSecond=5000',
    `upstream.url=https://${NAME}`,
    // Never idle for longer, however busy this machine is: the tunnels are counted.
    'upstream.keepAliveMs=60000',
    `upstream.caFile=${ca.certFile}`,
    `upstream.certFile=${client.certFile}`,
    `upstream.keyFile=${client.keyFile}`,
  ];
  return { emulator, front, proxy, set, token: emulator.issueToken(ORG, APP) };
}

const through = (port: number, password = PASSWORD) => `http://gateway:${password}@127.0.0.1:${port}`;

const logLines = (output: string) =>
  output.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));

describe('a gateway behind a corporate proxy', () => {
  it('uploads, downloads and makes thumbnails through a few tunnels, and logs none of what is secret', async () => {
    const { emulator, front, proxy, set, token } = await startBehindProxy();
    await using gateway = await startGatewayProcess(set, {
      CHATFILES_UPSTREAM__PROXY: through(proxy.port),
      CHATFILES_UPSTREAM__KEY_PASSPHRASE: PASSPHRASE,
      DEBUG: '*',
    });
    const file = fileOf(3_000_000);
    for (let i = 0; i < 10; i += 1) {
      const { uuid } = await uploadTo(gateway.url, token, file);
      const reply = await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) });
      expect([reply.status, reply.body.equals(file)]).toEqual([200, true]);
      const picture = await uploadTo(gateway.url, token, PICTURE);
      const url = `${gateway.url}${CHATFILES}/${picture.uuid}`;
      const thumbnail = await ask(url, { headers: bearer(token, { thumbnail: 'true' }) });
      expect([thumbnail.status, thumbnail.headers['content-type'], thumbnail.isWhole]).toEqual([
        200,
        'image/jpeg',
        true,
      ]);
    }
    expect(emulator.received()).toHaveLength(40);
    expect([proxy.asked.length, front.connections, proxy.others]).toEqual([1, 1, []]);
    const output = await gateway.stop();
    expect(output).toContain(`"through":"127.0.0.1:${proxy.port}"`);
    expect(SECRETS.filter((secret) => output.includes(secret))).toEqual([]);
  });

  it('tells the operator, and nobody else, that it was the proxy', async () => {
    const { proxy, set, token, emulator } = await startBehindProxy();
    await using gateway = await startGatewayProcess([...set, 'retry.attempts=3'], {
      CHATFILES_UPSTREAM__PROXY: through(proxy.port, 'wr0ng-pa55word'),
      CHATFILES_UPSTREAM__KEY_PASSPHRASE: PASSPHRASE,
    });
    const get = () => ask(`${gateway.url}${FILE}`, { headers: bearer(token) });
    const post = () => {
      const { contentType, body } = multipartOf(PICTURE);
      const headers = bearer(token, { 'content-type': contentType });
      return ask(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body });
    };
    const denied = await get();
    const refused = await post();
    for (const reply of [denied, refused]) {
      expect([reply.status, JSON.parse(reply.body.toString())]).toMatchObject([502, { error: 'bad_gateway' }]);
      expect(reply.headers['proxy-status']).toBe('chatfiles-gateway; error=proxy_configuration_error');
      expect(reply.headers['proxy-authenticate']).toBeUndefined();
      expect(JSON.stringify([reply.rawHeaders, reply.body.toString()])).not.toMatch(/407|127\.0\.0\.1|credentials/);
    }
    // Asked once each: with a password that is wrong, an account is soon locked.
    expect(proxy.asked).toHaveLength(2);
    expect(emulator.received()).toEqual([]);
    const output = await gateway.stop();
    const requests = logLines(output).filter(({ msg }) => msg === 'request');
    const record = { error: 'UPSTREAM_UNREACHABLE', cause: 'the proxy wants other credentials (407)', attempts: 1 };
    expect(requests).toMatchObject([record, record]);
    expect(output).not.toContain('wr0ng-pa55word');
  });

  it('tries again, uploads too, while the proxy is only busy', async () => {
    const { proxy, set, token, emulator } = await startBehindProxy({});
    const { gateway, summaries } = await startGateway({
      set: [...set, `upstream.keyPassphrase=${PASSPHRASE}`, `upstream.proxy=http://127.0.0.1:${proxy.port}`],
    });
    proxy.mood = 503;
    const uploading = uploadTo(gateway.url, token, PICTURE);
    await expect.poll(() => proxy.asked.length).toBeGreaterThan(1);
    proxy.mood = 'open';
    await uploading;
    expect(emulator.received()).toHaveLength(1);
    expect(summaries[0]).toMatchObject({ status: 200, error: undefined });
  });

  it('obeys HTTPS_PROXY and NO_PROXY when it is told to, and only then', async () => {
    const { proxy, set, token } = await startBehindProxy();
    const keys = [...set, 'retry.attempts=1'];
    const env = { CHATFILES_UPSTREAM__KEY_PASSPHRASE: PASSPHRASE, HTTPS_PROXY: through(proxy.port).slice(7) };
    const statusWith = async (set: string[], more: Record<string, string> = {}) => {
      await using gateway = await startGatewayProcess([...keys, ...set], { ...env, ...more });
      const reply = await ask(`${gateway.url}${FILE}`, { headers: bearer(token) });
      return [reply.status, proxy.asked.length];
    };
    expect(await statusWith(['upstream.proxyFromEnvironment=true'])).toEqual([404, 1]);
    expect(await statusWith(['upstream.proxyFromEnvironment=true'], { NO_PROXY: '.easemob.test' })).toEqual([502, 1]);
    expect(await statusWith([])).toEqual([502, 1]);
  });

  it('does not start with files that it cannot use', async () => {
    const { set } = await startBehindProxy();
    const wrong = [...set, 'upstream.caFile=/nowhere/ca.pem', `upstream.keyFile=${server.keyFile}`];
    const message = await startGateway({ set: wrong }).then(String, (error: Error) => error.message);
    expect(message.split('\n')).toEqual([
      'The configuration has 2 mistakes:',
      '  upstream.caFile: there is no such file: /nowhere/ca.pem',
      '  upstream.keyFile: is not the key of the (first) certificate in upstream.certFile',
    ]);
  });
});
