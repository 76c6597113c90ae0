/** Three replicas are replaced one after the other, under load: no request is lost, and every one is accounted for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import sharp from 'sharp';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { sha256 } from '../kit/ask.ts';
import { APP, ORG, uploadTo } from '../kit/easemob.ts';
import { startBalancer } from '../kit/nginx.ts';
import { type GatewayProcess, startGatewayProcess } from '../kit/process.ts';
import { freePort, startRedis, type TestRedis } from '../kit/redis.ts';
import { keysOf } from '../kit/replicas.ts';
import { startLoad } from '../kit/rolling-load.ts';
import { startTcpBalancer } from '../kit/tcp-balancer.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

/** A picture of a few megabytes, so that it takes a while to stream. */
const largePicture = async (): Promise<Uint8Array<ArrayBuffer>> => {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const options = { create: { width: 900, height: 900, channels: 3, background: '#888', noise } } as const;
  return new Uint8Array(await sharp(options).png().toBuffer());
};

const lineOf = (output: string, text: string): Record<string, unknown> =>
  JSON.parse(output.split('\n').find((line) => line.includes(text)) ?? '{}') as Record<string, unknown>;

describe.each([
  ['nginx', startBalancer],
  ['a balancer of connections', startTcpBalancer],
])('a rolling restart of three replicas behind %s', (name, startFront) => {
  it('loses no request', { timeout: 60_000 }, async () => {
    await using opening = new AsyncDisposableStack();
    const emulator = opening.use(await createEmulator());
    const token = emulator.issueToken(ORG, APP);
    const picture = await largePicture();
    const { uuid } = await uploadTo(emulator.url, token, picture);
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const egress = { redis, upstreamUrl: emulator.url, id: name.replaceAll(' ', '-') };
    const keys = [...keysOf(egress), 'clientLimit.requests=1000000', 'drain.delayMs=1000', 'drain.deadlineMs=20000'];
    const start = (port: number) => startGatewayProcess([...keys, `listen.port=${port}`]);
    const replicas: GatewayProcess[] = await Promise.all(ports.map(start));
    for (const replica of replicas) opening.use(replica);
    const front = opening.use(await startFront(ports));
    const stored = emulator.stats().storedFiles;

    const load = startLoad({ url: front.url, token, file: { uuid, digest: sha256(picture) } });
    for (const [index, port] of ports.entries()) {
      const leaving = replicas[index];
      if (!leaving) continue;
      // Only a replica with something under way has something to lose.
      await expect.poll(() => leaving.output().split('"msg":"request"').length, { timeout: 10_000 }).toBeGreaterThan(5);
      const output = await leaving.stop();
      expect(await leaving.exited).toBe(0);
      expect(lineOf(output, '"msg":"drained')).toMatchObject({ refused: 0, cut: 0 });
      const next = opening.use(await start(port));
      expect((await fetch(`${next.adminUrl}/readyz`)).status).toBe(200);
    }
    const { answered, lost, uploaded } = await load.stop();
    process.stdout.write(`${name}: ${JSON.stringify(answered)}\n`);
    expect(lost).toEqual([]);
    // What nginx sends again by itself would have been a loss as an upload. A connection that cannot be made is none.
    expect(
      front
        .errors()
        .split('\n')
        .filter((line) => line !== '' && !line.includes('connect() failed')),
    ).toEqual([]);
    expect(Object.keys(answered).toSorted()).toEqual(['kept', 'queued', 'streamed', 'upload']);
    expect(emulator.stats().storedFiles - stored).toBe(uploaded.size);
  });
});
