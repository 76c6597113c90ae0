/**
 * Replaces three replicas behind nginx one after the other, so many times, under load, and prints what became of each
 * request: `node bench/rolling-restart.ts 20`; with `tcp` behind it, behind a balancer that knows only connections.
 */
import sharp from 'sharp';
import { createEmulator } from '../src/emulator/emulator.ts';
import { sha256 } from '../test/kit/ask.ts';
import { APP, ORG, uploadTo } from '../test/kit/easemob.ts';
import { startBalancer } from '../test/kit/nginx.ts';
import { startGatewayProcess } from '../test/kit/process.ts';
import { freePort, startRedis } from '../test/kit/redis.ts';
import { keysOf } from '../test/kit/replicas.ts';
import { startTcpBalancer } from '../test/kit/tcp-balancer.ts';
import { startLoad } from '../test/kit/rolling-load.ts';

const rounds = Number(process.argv[2] ?? 10);
await using opening = new AsyncDisposableStack();
const redis = opening.use(await startRedis());
const emulator = opening.use(await createEmulator());
const token = emulator.issueToken(ORG, APP);
const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
const create = { width: 900, height: 900, channels: 3, background: '#888', noise } as const;
const picture = new Uint8Array(await sharp({ create }).png().toBuffer());
const { uuid } = await uploadTo(emulator.url, token, picture);
const ports = await Promise.all([freePort(), freePort(), freePort()]);
const egress = { redis, upstreamUrl: emulator.url, id: 'rolling' };
const keys = [...keysOf(egress), 'clientLimit.requests=1000000', 'drain.delayMs=1000', 'drain.deadlineMs=20000'];
const start = (port: number) => startGatewayProcess([...keys, `listen.port=${port}`]);
const replicas = await Promise.all(ports.map(start));
const front = opening.use(await (process.argv[3] === 'tcp' ? startTcpBalancer : startBalancer)(ports));
const stored = emulator.stats().storedFiles;

const load = startLoad({ url: front.url, token, file: { uuid, digest: sha256(picture) } });
let restarts = 0;
const codes = new Map<number, number>();
for (let round = 0; round < rounds; round += 1) {
  for (const [index, port] of ports.entries()) {
    const leaving = replicas[index];
    await leaving?.stop();
    const code = (await leaving?.exited) ?? -1;
    codes.set(code, (codes.get(code) ?? 0) + 1);
    replicas[index] = await start(port);
    restarts += 1;
  }
}
const { answered, lost, uploaded } = await load.stop();
for (const replica of replicas) opening.use(replica);
const sum = Object.values(answered).reduce((total, count) => total + count, 0);
const exits = [...codes].map(([code, count]) => `${count} with ${code}`).join(', ');
const { refused } = emulator.stats();
console.log(
  `${restarts} restarts (exits: ${exits}), ${sum + lost.length} requests: ${sum} answered, ${lost.length} lost`,
);
console.log(`answered: ${JSON.stringify(answered)}`);
console.log(
  `uploads: ${uploaded.size} sent, ${emulator.stats().storedFiles - stored} stored; upstream refused ${refused}`,
);
for (const line of lost) console.log(`lost: ${line}`);
// A connection that cannot be made is how nginx finds out; whatever else it says is a loss, or was nearly one.
for (const line of front.errors().split('\n')) if (!/connect\(\) failed|^$/.test(line)) console.log(`nginx: ${line}`);
process.exitCode = lost.length === 0 ? 0 : 1;
