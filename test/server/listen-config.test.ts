import { describe, expect, it } from 'vitest';
import { type ConfigError, loadConfig } from '../../src/config.ts';

const load = (set: string[]) => loadConfig({ env: {}, set: set.map((each) => `listen.${each}`), emulator: true });
const mistakesOf = async (set: string[]): Promise<string[]> => {
  const error = await load(set).then(
    () => undefined,
    (thrown: unknown) => thrown as ConfigError,
  );
  return (error?.problems ?? []).map(({ path, message }) => `${path}: ${message}`);
};
const TLS = ['tls.certFile=a.pem', 'tls.keyFile=a.key'];

describe("the keys of the clients' port", () => {
  it.each([
    [
      ['tls.certFile=a.pem'],
      'listen.tls.certFile: needs listen.tls.keyFile beside it: a certificate is of no use without its key',
    ],
    [
      ['tls.keyFile=a.key'],
      'listen.tls.keyFile: needs listen.tls.certFile beside it: a key is of no use without its certificate',
    ],
    [['tls.keyPassphrase=x'], 'listen.tls.keyPassphrase: needs listen.tls.keyFile beside it'],
    [
      ['tls.clientCaFile=ca.pem'],
      'listen.tls.clientCaFile: needs listen.tls.certFile beside it: clients show certificates within TLS only',
    ],
    [
      ['tls.clientCertificates=require'],
      'listen.tls.clientCertificates: is require, which needs listen.tls.certFile beside it',
    ],
    [
      [...TLS, 'tls.clientCertificates=request'],
      'listen.tls.clientCertificates: is request, which needs listen.tls.clientCaFile beside it',
    ],
    [
      ['proxyProtocol=on'],
      'listen.proxyProtocol: is on, but listen.proxyProtocolFrom lists nobody who may speak it; list your load balancers there',
    ],
  ])('need each other: %j', async (set, mistake) => {
    expect(await mistakesOf(set)).toEqual([mistake]);
  });

  it.each(['0.0.0.0/0', '::/0', '10.0.0/8', '127.1', 'lb.internal'])('take no load balancer like %s', async (range) => {
    expect(await mistakesOf([`proxyProtocolFrom=${range}`])).toEqual([
      expect.stringMatching(/^listen\.proxyProtocolFrom\[0\]: /),
    ]);
  });

  it.each([
    [[...TLS, 'tls.clientCaFile=ca.pem'], /^listen\.tls\.clientCaFile is set, but/],
    [['proxyProtocolFrom=10.0.0.1'], /^listen\.proxyProtocolFrom is set, but listen\.proxyProtocol is off/],
  ])('are warned of where they do nothing: %j', async (set, warning) => {
    expect((await load(set)).warnings).toEqual([expect.stringMatching(warning)]);
  });

  it('are warned of where others make them wrong', async () => {
    const http = await loadConfig({
      env: {},
      set: ['publicUrl=http://files.example.com', ...TLS.map((each) => `listen.${each}`)],
      emulator: true,
    });
    expect(http.warnings).toEqual([expect.stringMatching(/^publicUrl begins with http:, but/)]);
    const set = ['trustedProxies=1', 'listen.proxyProtocol=on', 'listen.proxyProtocolFrom=10.0.0.1,10.0.1.0/24'];
    const counted = await loadConfig({ env: {}, set, emulator: true });
    expect(counted.warnings).toEqual([expect.stringMatching(/^trustedProxies is a number/)]);
    expect(counted.config.listen.proxyProtocolFrom).toEqual(['10.0.0.1', '10.0.1.0/24']);
  });
});
