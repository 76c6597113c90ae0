import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { connectRedis } from '../../src/redis/connection.ts';
import { createSubscriber, type Subscriber } from '../../src/redis/subscriber.ts';
import { startChaosProxy } from '../kit/chaos-proxy.ts';
import { freePort, startRedis, startSentinel } from '../kit/redis.ts';

/** A subscriber that writes down what it hears, and when it can. */
const listening = (url: string): { heard: string[]; subscriber: Subscriber } => {
  const heard: string[] = [];
  const events = {
    onMessage: (channel: string, message: string) => void heard.push(`${channel} ${message}`),
    onUp: () => void heard.push('up'),
    onDown: () => void heard.push('down'),
  };
  const subscriber = createSubscriber(url, ['news', 'other'], events, systemClock);
  onTestFinished(() => subscriber[Symbol.dispose]());
  return { heard, subscriber };
};

const expectSoon = async (isSo: () => boolean) => {
  for (let i = 0; i < 300 && !isSo(); i += 1) await sleep(10);
  expect(isSo()).toBe(true);
};

const publisher = async (url: string) => {
  const redis = connectRedis(url);
  onTestFinished(() => redis.disconnect());
  if (redis.status !== 'ready') await once(redis, 'ready');
  return redis;
};

describe('a subscriber', () => {
  it('hears, tells of each gap, and hears again', async () => {
    const server = await startRedis();
    onTestFinished(() => server[Symbol.asyncDispose]());
    const proxy = await startChaosProxy(server.port);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const redis = await publisher(server.url);
    const { heard, subscriber } = listening(`redis://127.0.0.1:${proxy.port}`);
    await expectSoon(() => heard.includes('up'));
    await redis.publish('news', '1');
    await expectSoon(() => heard.includes('news 1'));
    proxy.refuse();
    await expectSoon(() => heard.includes('down'));
    await redis.publish('news', 'missed');
    proxy.accept();
    await expectSoon(() => heard.filter((what) => what === 'up').length === 2);
    await redis.publish('other', '2');
    await expectSoon(() => heard.includes('other 2'));
    subscriber.reconnect();
    await expectSoon(() => heard.filter((what) => what === 'up').length === 3);
    expect(heard).toEqual(['up', 'news 1', 'down', 'up', 'other 2', 'down', 'up']);
  });

  it('comes up by itself when its server comes later', async () => {
    const server = await startRedis();
    onTestFinished(() => server[Symbol.asyncDispose]());
    await server.stop();
    const { heard } = listening(server.url);
    expect(heard).toEqual([]);
    await server.restart();
    await expectSoon(() => heard.includes('up'));
  });

  it('finds the master by a Sentinel', async () => {
    const master = await startRedis();
    onTestFinished(() => master[Symbol.asyncDispose]());
    const watcher = await startSentinel(master.port);
    onTestFinished(() => watcher[Symbol.asyncDispose]());
    const { heard } = listening(`redis+sentinel://127.0.0.1:${watcher.port}/main`);
    await expectSoon(() => heard.includes('up'));
    await (await publisher(master.url)).publish('news', '1');
    await expectSoon(() => heard.includes('news 1'));
  });

  it('hears at any node of a Cluster that can be reached', async () => {
    const gone = await freePort();
    const node = await startRedis({ 'cluster-enabled': 'yes', 'cluster-port': String(await freePort()) });
    onTestFinished(() => node[Symbol.asyncDispose]());
    const { heard } = listening(`redis+cluster://127.0.0.1:${gone},127.0.0.1:${node.port}`);
    await expectSoon(() => heard.includes('up'));
    await (await publisher(node.url)).publish('news', '1');
    await expectSoon(() => heard.includes('news 1'));
  });

  it('says nothing more when it is closed', async () => {
    const server = await startRedis();
    onTestFinished(() => server[Symbol.asyncDispose]());
    const { heard, subscriber } = listening(server.url);
    const other = listening(server.url);
    await expectSoon(() => heard.includes('up') && other.heard.includes('up'));
    subscriber[Symbol.dispose]();
    await server.stop();
    await expectSoon(() => other.heard.includes('down'));
    expect(heard).toEqual(['up']);
  });
});
