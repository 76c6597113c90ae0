import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectRedis, type RedisConnection, whyAway } from '../../src/redis/connection.ts';
import { freePort, startRedis, startSentinel } from '../kit/redis.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { ask, connected, EGRESS, freshPrefix, replicaOf } from '../quota/redis-account.ts';

const opened = (url: string): RedisConnection => {
  const redis = connectRedis(url);
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

describe('why Redis is away', () => {
  /** The reason that is told once it is known. */
  const reasonOf = async (url: string, expected: RegExp) => {
    const redis = opened(url);
    for (let i = 0; i < 150 && !expected.test(whyAway(redis, new Error('none'))); i += 1) await sleep(20);
    return whyAway(redis, await redis.get('x').catch((error: unknown) => error));
  };

  it.each([
    ['a standalone server', (port: number) => `redis://me:geheim@127.0.0.1:${port}`],
    ['a Cluster', (port: number) => `redis+cluster://:geheim@127.0.0.1:${port}`],
    ['Sentinels', (port: number) => `redis+sentinel://:geheim@127.0.0.1:${port}/main`],
  ])('names the port that refuses, for %s', async (_case, urlOf) => {
    const port = await freePort();
    const reason = await reasonOf(urlOf(port), /ECONNREFUSED/);
    expect(reason).toContain(`127.0.0.1:${port}`);
    expect(reason).toContain('ECONNREFUSED');
    expect(reason).not.toContain('geheim');
  });

  it.each([
    'redis://nowhere.invalid:7000',
    'redis+cluster://nowhere.invalid:7000',
    'redis+sentinel://nowhere.invalid:7000/main',
  ])('names the host that does not exist, for %s', async (url) => {
    expect(await reasonOf(url, /ENOTFOUND|EAI_AGAIN/)).toMatch(/(?:ENOTFOUND|EAI_AGAIN).*nowhere\.invalid:7000/);
  });

  it.each(['redis://', 'redis+cluster://'])('tells that a password is wrong, without it (%s)', async (scheme) => {
    const server = await startRedis();
    onTestFinished(() => server[Symbol.asyncDispose]());
    const admin = await connected(server.url);
    await admin.config('SET', 'requirepass', 'another');
    const reason = await reasonOf(`${scheme}:geheim@127.0.0.1:${server.port}`, /WRONGPASS/);
    expect(reason).toMatch(new RegExp(`WRONGPASS.*127.0.0.1:${server.port}`));
    expect(reason).not.toMatch(/geheim|another/);
  });

  it('names the server whose answer did not come in time', async () => {
    const server = await startRedis();
    onTestFinished(() => server[Symbol.asyncDispose]());
    const redis = await connected(server.url);
    server.signal('SIGSTOP');
    const error = await redis.get('x').catch((error: unknown) => error);
    expect(whyAway(redis, error)).toBe(`no answer of 127.0.0.1:${server.port} in time`);
  });
});
