import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectRedis, parseRedisUrl, type RedisConnection } from '../../src/quota/redis-connection.ts';
import { freePort, startRedis, startSentinel } from '../kit/redis.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { ask, connected, EGRESS, freshPrefix, replicaOf } from './redis-account.ts';

const node = (host: string, port = 6379) => ({ host, port });
const standalone = { form: 'standalone', master: undefined, options: {} };
const sentinel = { form: 'sentinel', master: 'main', options: {} };

describe('a Redis URL', () => {
  it.each([
    ['redis://localhost', { ...standalone, nodes: [node('localhost')] }],
    ['redis://10.0.0.1:7000', { ...standalone, nodes: [node('10.0.0.1', 7000)] }],
    ['redis://[::1]:7000', { ...standalone, nodes: [node('::1', 7000)] }],
    ['redis://host/', { ...standalone, nodes: [node('host')] }],
    ['redis://host/3', { ...standalone, nodes: [node('host')], options: { db: 3 } }],
    ['redis://:secret@host', { ...standalone, nodes: [node('host')], options: { password: 'secret' } }],
    [
      'redis://me:se:cret@host',
      { ...standalone, nodes: [node('host')], options: { username: 'me', password: 'se:cret' } },
    ],
    [
      'redis://me:p%40%2F%3A@host',
      { ...standalone, nodes: [node('host')], options: { username: 'me', password: 'p@/:' } },
    ],
    ['rediss://host:1', { ...standalone, nodes: [node('host', 1)], options: { tls: {} } }],
    ['redis+sentinel://a,b:1/main', { ...sentinel, nodes: [node('a', 26_379), node('b', 1)] }],
    ['redis+sentinel://:pw@a/main/2', { ...sentinel, nodes: [node('a', 26_379)], options: { password: 'pw', db: 2 } }],
    ['rediss+sentinel://a/main', { ...sentinel, nodes: [node('a', 26_379)], options: { tls: {} } }],
    [
      'redis+cluster://a:1,b:2,c',
      { form: 'cluster', master: undefined, options: {}, nodes: [node('a', 1), node('b', 2), node('c')] },
    ],
  ])('%s is read', (url, parts) => {
    expect(parseRedisUrl(url)).toEqual(parts);
  });

  it.each([
    '',
    'host:6379',
    'http://host',
    'redis:host',
    'redis://',
    'redis://a,b',
    'redis://host:port',
    'redis://host:70000',
    'redis://host/db',
    'redis://host/1/2',
    'redis://host/12345',
    'redis://host?tls=1',
    'redis://host#x',
    'redis://me:100%@host',
    'redis+sentinel://a',
    'redis+sentinel://a/main/x',
    'redis+cluster://a,b/1',
    'redis+cluster://a,,b',
    'redis+other://a',
    ' redis://host',
  ])('%j is none', (url) => {
    expect(parseRedisUrl(url)).toBeUndefined();
  });
});

const opened = (url: string): RedisConnection => {
  const redis = connectRedis(url, () => {});
  onTestFinished(() => redis.disconnect());
  return redis;
};

/** Reserves again and again, until one is granted. */
const reservesSoon = async (redis: RedisConnection, withinMs: number) => {
  const replica = replicaOf(redis, createShiftClock(), { keyPrefix: freshPrefix() });
  const end = performance.now() + withinMs;
  for (;;) {
    try {
      return (await replica.reserve(ask(2, [...EGRESS, 'app:x']))).slots.length;
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(50);
    }
  }
};

describe('a connection to Redis', () => {
  it('says when it is lost, and fails at once what is asked meanwhile', async () => {
    const server = await startRedis();
    onTestFinished(() => server[Symbol.asyncDispose]());
    let losses = 0;
    const redis = await connected(server.url, () => (losses += 1));
    await server.stop();
    if (redis.status === 'ready') await once(redis, 'close');
    expect(losses).toBeGreaterThan(0);
    const startedAt = performance.now();
    await expect(redis.get('x')).rejects.toThrow(/writeable|closed/);
    expect(performance.now() - startedAt).toBeLessThan(100);
    await server.restart();
    expect(await reservesSoon(redis, 3000)).toBe(2);
  });

  it('finds the master by a Sentinel, and the next one after a failover', async () => {
    const master = await startRedis();
    onTestFinished(() => master[Symbol.asyncDispose]());
    const replica = await startRedis({ replicaof: `127.0.0.1 ${master.port}` });
    onTestFinished(() => replica[Symbol.asyncDispose]());
    const watcher = await startSentinel(master.port);
    onTestFinished(() => watcher[Symbol.asyncDispose]());
    const redis = opened(`redis+sentinel://127.0.0.1:${watcher.port}/main`);
    expect(await reservesSoon(redis, 3000)).toBe(2);

    const admin = await connected(`redis://127.0.0.1:${watcher.port}`);
    for (let i = 0; i < 100; i += 1) {
      const known = (await admin.call('SENTINEL', 'REPLICAS', 'main')) as unknown[];
      const isDone = known.length > 0 && (await admin.call('SENTINEL', 'FAILOVER', 'main').catch(() => '')) === 'OK';
      if (isDone) break;
      await sleep(100);
    }
    const direct = await connected(replica.url);
    // It closes its connections when it is promoted.
    const role = async () => ((await direct.call('ROLE').catch(() => [])) as unknown[])[0];
    for (let i = 0; i < 100 && (await role()) !== 'master'; i += 1) await sleep(50);
    expect(await role()).toBe('master');
    // The one of before is told a moment later; until then it is still written to, as any failover loses what came last.
    const accountsThere = async () => (await direct.keys('test-*').catch(() => [])).length;
    for (let i = 0; i < 100 && (await accountsThere()) === 0; i += 1) {
      expect(await reservesSoon(redis, 5000)).toBe(2);
      await sleep(50);
    }
    expect(await accountsThere()).toBeGreaterThan(0);
  });

  it('keeps all keys of an egress on one node of a Cluster', async () => {
    const ports: number[] = [];
    for (let i = 0; i < 3; i += 1) {
      const node = await startRedis({
        'cluster-enabled': 'yes',
        'cluster-node-timeout': '1000',
        'cluster-port': String(await freePort()),
      });
      onTestFinished(() => node[Symbol.asyncDispose]());
      ports.push(node.port);
    }
    const nodes = ports.map((port) => `127.0.0.1:${port}`);
    await promisify(execFile)('redis-cli', ['--cluster', 'create', ...nodes, '--cluster-yes']);
    const redis = opened(`redis+cluster://${nodes.join(',')}`);
    expect(await reservesSoon(redis, 5000)).toBe(2);
    const replica = replicaOf(redis, createShiftClock(), { keyPrefix: freshPrefix(), egress: 'other' });
    const { slots } = await replica.reserve(ask(3, [...EGRESS, 'app:x']));
    for (const slot of slots) await replica.refused(slot, EGRESS);
    await replica.giveBack(slots, [...EGRESS, 'app:x']);
    await replica.leave();
    expect(slots).toHaveLength(3);
  });
});
