import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { takeOver } from '../../src/config/take-over.ts';

const configOf = async (...set: string[]) =>
  (await loadConfig({ env: {}, set: ['upstream.url=https://a1.easemob.com', ...set] })).config;

describe('taking a configuration over', () => {
  it('changes nothing where nothing differs', async () => {
    const running = await configOf();
    expect(takeOver(running, await configOf())).toEqual({ config: running, changed: [], waiting: [] });
  });

  it('takes what may change while running, lists as a whole', async () => {
    const next = await configOf('destinations=acme/*,acme2/chat', 'limits.fileBytes=5MB', 'log.level=warn');
    const { config, changed, waiting } = takeOver(await configOf(), next);
    expect(config).toEqual(next);
    expect([changed.toSorted(), waiting]).toEqual([['destinations', 'limits.fileBytes', 'log.level'], []]);
  });

  it('leaves the rest as it was, and names it', async () => {
    const next = await configOf('listen.port=9999', 'limits.fileBytes=5MB', 'redis.url=redis://other');
    const { config, changed, waiting } = takeOver(await configOf(), next);
    expect([config.listen.port, config.limits.fileBytes, config.redis.url]).toEqual([8080, 5 * 1024 ** 2, undefined]);
    expect([changed, waiting.toSorted()]).toEqual([['limits.fileBytes'], ['listen.port', 'redis.url']]);
  });

  it('leaves keys that mean nothing without one that waits', async () => {
    const proxied = ['listen.proxyProtocol=on', 'listen.proxyProtocolFrom=10.0.0.0/8'];
    const tls = ['listen.tls.certFile=/c', 'listen.tls.keyFile=/k'];
    const asked = [...tls, 'listen.tls.clientCertificates=require', 'listen.tls.clientCaFile=/ca'];
    const waitingOf = async (from: string[], to: string[]) => {
      const { config, changed, waiting } = takeOver(await configOf(...from), await configOf(...to));
      expect([config, changed]).toEqual([await configOf(...from), []]);
      return waiting;
    };
    expect(await waitingOf(proxied, [])).toEqual(['listen.proxyProtocol', 'listen.proxyProtocolFrom']);
    expect(await waitingOf(asked, tls)).toEqual(['listen.tls.clientCertificates', 'listen.tls.clientCaFile']);
    expect(await waitingOf(tls, [])).toEqual(['listen.tls.certFile', 'listen.tls.keyFile']);
    expect(await waitingOf([], [...tls, 'listen.tls.hstsSeconds=5'])).toHaveLength(3);
  });

  it('takes a value away again that is not set any more', async () => {
    const running = await configOf('publicUrl=https://files.example.com', 'quota.uploadMaxWaitMs=5000');
    const { config, changed } = takeOver(running, await configOf());
    expect([config.publicUrl, config.quota.uploadMaxWaitMs]).toEqual([undefined, undefined]);
    expect(changed.toSorted()).toEqual(['publicUrl', 'quota.uploadMaxWaitMs']);
  });

  it('leaves what runs untouched, so that it can go on when the new one turns out to be of no use', async () => {
    const running = await configOf();
    takeOver(running, await configOf('destinations=acme/*'));
    expect(running).toEqual(await configOf());
  });
});
