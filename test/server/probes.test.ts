import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createHealth } from '../../src/health.ts';
import { createAdmin, createAdminServer } from '../../src/server/admin.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { connectRaw } from '../kit/raw-client.ts';

/** The second port of a gateway that is still starting. */
async function start() {
  const health = createHealth({}, createFakeClock(Date.UTC(2026, 10, 23)));
  const operator = { token: 'the-operators-own-token', hosts: ['127.0.0.1'], acts: () => undefined, tellGuess() {} };
  const metrics = () => Promise.resolve({ contentType: 'text/plain', text: '' });
  const server = createAdminServer(createAdmin({ health, metrics, ...operator }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const probe = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, init);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  return { health, probe, url };
}

describe('the probes', () => {
  it('answer though somebody holds more connections than there may be, on each a head without an end', async () => {
    const { health, probe, url } = await start();
    health.opened();
    const held = await Promise.all(
      Array.from({ length: 1100 }, async () => {
        const client = await connectRaw(url);
        await client.send('GET /l');
        return client;
      }),
    );
    onTestFinished(() => {
      for (const client of held) client[Symbol.dispose]();
    });
    expect((await probe('/livez')).status).toBe(200);
  });

  it('tell the stages of a life, each its own part of it', async () => {
    const { health, probe } = await start();
    const statuses = () =>
      Promise.all(['/livez', '/readyz', '/startupz'].map(async (path) => (await probe(path)).status));
    expect(await statuses()).toEqual([200, 503, 503]);
    health.opened();
    expect(await statuses()).toEqual([200, 200, 200]);
    health.report('redis', { is: 'degraded', because: 'away' });
    expect(await statuses()).toEqual([200, 200, 200]);
    health.drain();
    expect(await statuses()).toEqual([200, 503, 200]);
  });

  it('say one line for each check, in text that a terminal shows', async () => {
    const { health, probe } = await start();
    health.opened();
    health.report('config', { is: 'degraded', because: 'the last reload failed: line 3' });
    const { text, headers } = await probe('/readyz');
    expect(text).toBe('degraded\nconfig: degraded since 2026-11-23T00:00:00.000Z: the last reload failed: line 3\n');
    expect(headers.get('content-type')).toMatch(/^text\/plain/);
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('say the same in JSON to whoever asks for that', async () => {
    const { health, probe } = await start();
    health.report('redis', { is: 'ok' });
    const { status, text, headers } = await probe('/startupz', { headers: { accept: 'application/json' } });
    expect([status, headers.get('retry-after')]).toEqual([503, '1']);
    expect(JSON.parse(text)).toEqual({
      status: 'starting',
      ready: false,
      checks: [{ name: 'redis', is: 'ok', since: '2026-11-23T00:00:00.000Z' }],
    });
  });

  it('answer HEAD, and name their methods to others', async () => {
    const { probe } = await start();
    for (const path of ['/livez', '/readyz', '/healthz', '/startupz']) {
      const { text } = await probe(path, { method: 'HEAD' });
      expect(text).toBe('');
      const { status, headers } = await probe(path, { method: 'POST' });
      expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    }
  });

  it('are told to whoever asks for something else', async () => {
    const { probe } = await start();
    const { status, text } = await probe('/ready');
    expect([status, (JSON.parse(text) as { paths: string[] }).paths]).toEqual([
      404,
      expect.arrayContaining(['GET /readyz']),
    ]);
  });
});

it('the operator is told that the gateway is still starting', async () => {
  const { probe } = await start();
  const headers = { authorization: 'Bearer the-operators-own-token' };
  for (const path of ['/cache', '/explain', '/explain/an-id']) {
    expect([path, (await probe(path, { headers })).status]).toEqual([path, 503]);
  }
});
