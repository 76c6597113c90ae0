import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { createGateway, type Gateway } from '../../src/gateway.ts';
import { ask } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { startRedis } from '../kit/redis.ts';
import { keysOf } from '../kit/replicas.ts';

type Told = { status: string; ready: boolean; checks: { name: string; is: string; because?: string; since: string }[] };

const readJson = async ({ adminUrl }: Gateway, path = '/readyz'): Promise<[number, Told]> => {
  const response = await fetch(`${adminUrl}${path}`, { headers: { accept: 'application/json' } });
  return [response.status, (await response.json()) as Told];
};
const checkOf = ({ checks }: Told, name: string) => checks.find((check) => check.name === name);

async function start(set: string[] = []) {
  const emulator = await createEmulator();
  onTestFinished(() => emulator[Symbol.asyncDispose]());
  const redis = await startRedis();
  onTestFinished(() => redis[Symbol.asyncDispose]());
  const egress = { redis, upstreamUrl: emulator.url, id: 'degraded' };
  const { config } = await loadConfig({ env: {}, set: [...keysOf(egress), 'drain.delayMs=0', ...set] });
  const open = async () => {
    const gateway = await createGateway(config);
    onTestFinished(() => gateway[Symbol.asyncDispose]());
    return gateway;
  };
  return { emulator, redis, open };
}

describe('a replica that loses its Redis', () => {
  it('stays ready and answers, says since when it is degraded and why, and is whole again when Redis is back', async () => {
    const { emulator, redis, open } = await start(['secrets.digestKey=a-secret-for-all-replicas-0123456789']);
    const gateway = await open();
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(emulator.url, token, 'x');
    await expect.poll(async () => (await readJson(gateway))[1].status, { timeout: 5000 }).toBe('ready');
    const [, before] = await readJson(gateway);
    expect(checkOf(before, 'redis')).toMatchObject({ is: 'ok' });

    await redis.stop();
    await expect.poll(async () => (await readJson(gateway))[1].status, { timeout: 10_000 }).toBe('degraded');
    const [status, told] = await readJson(gateway);
    expect([status, told.ready]).toEqual([200, true]);
    const check = checkOf(told, 'redis');
    expect(check).toMatchObject({ is: 'degraded', because: expect.stringContaining('its own share of the quota') });
    // The place where it should be, for whoever is on call.
    expect(check?.because).toContain(String(redis.port));
    expect(Date.parse(check?.since ?? '')).toBeLessThanOrEqual(Date.now());
    expect(await (await fetch(`${gateway.adminUrl}/readyz`)).text()).toMatch(/^degraded\n[^]*^redis: degraded since /m);
    expect((await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) })).status).toBe(200);
    expect((await fetch(`${gateway.adminUrl}/livez`)).status).toBe(200);

    await redis.restart();
    await expect.poll(async () => (await readJson(gateway))[1].status, { timeout: 10_000 }).toBe('ready');
  });

  it('starts without it, degraded, since a restart mends no Redis', async () => {
    const { redis, open } = await start();
    await redis.stop();
    const gateway = await open();
    const [status, told] = await readJson(gateway);
    expect([status, told.status]).toEqual([200, 'degraded']);
    expect(checkOf(told, 'redis')?.because).toContain('Redis');
    expect((await readJson(gateway, '/startupz'))[0]).toBe(200);
  });

  it('waits for it with readiness.requireRedis, but only at its start', async () => {
    const { redis, open } = await start(['readiness.requireRedis=true']);
    await redis.stop();
    const gateway = await open();
    for (const path of ['/readyz', '/startupz']) {
      const [status, told] = await readJson(gateway, path);
      expect([status, told.status]).toEqual([503, 'starting']);
      expect(checkOf(told, 'redis')?.because).toContain('the start waits for it');
    }
    expect((await fetch(`${gateway.adminUrl}/livez`)).status).toBe(200);
    await redis.restart();
    await expect.poll(async () => (await readJson(gateway, '/startupz'))[0], { timeout: 10_000 }).toBe(200);
    expect((await readJson(gateway))[0]).toBe(200);
    await redis.stop();
    await expect.poll(async () => (await readJson(gateway))[1].status, { timeout: 10_000 }).toBe('degraded');
    expect((await readJson(gateway))[0]).toBe(200);
  });
});
