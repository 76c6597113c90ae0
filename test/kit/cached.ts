import { hash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import type { AccessStats } from '../../src/access/access.ts';
import type { CacheStats } from '../../src/cache/cache.ts';
import type { Clock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { createEmulator, type Emulator, type IssueTokenOptions } from '../../src/emulator/emulator.ts';
import { createGateway, type Gateway } from '../../src/gateway.ts';
import type { Summary } from '../../src/server/summarize.ts';
import type { Reply } from './ask.ts';
import { APP, bearer, ORG } from './easemob.ts';
import { type Gate, startGate } from './gate.ts';
import type { TestRedis } from './redis.ts';
import { askWire } from './wire.ts';

/** What the operator shows to the second port. */
export const OPERATOR = 'the-operators-own-token';

/** A small picture that is like no other in any part: the emulator's thumbnail of it is the picture itself. */
export const pictureOf = (bytes = 1500): Buffer => Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), randomBytes(bytes)]);

/** The ETag that the gateway makes for these bytes. */
export const etagOf = (picture: Buffer): string => `"${hash('sha256', picture, 'base64url').slice(0, 27)}"`;

/** A picture that was uploaded past the gateway; only holders of the secret may see it, if it has one. */
export type Shared = { uuid: string; path: string; secret: string | undefined; picture: Buffer };

/** The fields of somebody who asks for a thumbnail. */
export function thumbnailFields(token: string, secret?: string): [string, string][] {
  return [
    ['Authorization', `Bearer ${token}`],
    ['thumbnail', 'true'],
    ...(secret === undefined ? [] : [['share-secret', secret] satisfies [string, string]]),
  ];
}

/** What a test may choose. `isOnDisk`: nothing is kept in memory. With an upstream of its own there is no gate before it. */
export type CachedOptions = {
  replicas?: number;
  redis?: TestRedis;
  isOnDisk?: boolean;
  set?: string[];
  clock?: Clock;
  upstreamUrl?: string;
};

/** Gateways that keep thumbnails, each in a folder of its own, before an emulator whose answers can be held back. */
export type Cached = AsyncDisposable & {
  emulator: Emulator;
  gate: Gate;
  summaries: Summary[];
  /** What its keys and channels in Redis begin with. */
  keyPrefix: string;
  url: (replica?: number) => string;
  adminUrl: (replica?: number) => string;
  /** Ends a replica and starts it again on its folder; waits until what lies there is found again. */
  restart: (replica?: number) => Promise<void>;
  close: (replica?: number) => Promise<void>;
  stats: (replica?: number) => Promise<{ cache: CacheStats; access: AccessStats }>;
  /** A token of a user, which says so itself unless another layout is wished for. */
  tokenOf: (username: string, options?: IssueTokenOptions) => string;
  /** The same, of somebody whom every replica believes, since it was just served another file. */
  believed: (username: string, options?: IssueTokenOptions) => Promise<string>;
  share: (options?: { restricted?: boolean; picture?: Buffer; app?: string }) => Promise<Shared>;
  /** Asks for a thumbnail as a client does. */
  see: (file: Shared, token: string, replica?: number) => Promise<Seen>;
  /** The downloads of a file that came as far as the gate. */
  fetches: (file: Shared) => number;
};

/** What somebody saw who asked for a thumbnail. */
export type Seen = Reply & { cache: string | undefined };

let worlds = 0;

/** Waits until something is so. */
export async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !(await isSo()); await sleep(2)) {
    if (Date.now() > deadline) throw new Error('it has not become so within ten seconds');
  }
}

/** Starts emulator, gate and gateways for one test, and closes them after it. */
export async function startCached(options: CachedOptions = {}): Promise<Cached> {
  const cached = await openCached(options);
  onTestFinished(() => cached[Symbol.asyncDispose]());
  return cached;
}

/** Starts emulator, gate and gateways; disposing closes them. */
export async function openCached(options: CachedOptions = {}): Promise<Cached> {
  const { replicas = 1, redis, isOnDisk = false, set = [], clock } = options;
  await using opened = new AsyncDisposableStack();
  const emulator = opened.use(
    await createEmulator({ limiter: { algorithm: 'off' }, ...(clock ? { now: () => clock.now() } : {}) }),
  );
  const gate = opened.use(await startGate(emulator.url));
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-cached-'));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  worlds += 1;
  const keyPrefix = `cached-${process.pid}-${worlds}:`;
  const summaries: Summary[] = [];

  const start = async (replica: number): Promise<Gateway> => {
    const { config } = await loadConfig({
      env: {},
      set: [
        'listen.port=0',
        'admin.port=0',
        `admin.token=${OPERATOR}`,
        'clientLimit.requests=1000000',
        'quota.perSecond=5000',
        `upstream.url=${options.upstreamUrl ?? gate.url}`,
        `cache.disk.dir=${join(folder, String(replica))}`,
        'cache.disk.minFreeBytes=0',
        ...(isOnDisk ? ['cache.memoryBytes=0'] : []),
        ...(redis
          ? [`redis.url=${redis.url}`, `redis.keyPrefix=${keyPrefix}`, `secrets.digestKey=${'k'.repeat(32)}`]
          : []),
        ...set,
      ],
    });
    const record = (summary: Summary) => void summaries.push(summary);
    const gateway = await createGateway(config, { record, ...(clock ? { clock } : {}) });
    return gateway;
  };
  const gateways: Gateway[] = [];
  opened.defer(async () => {
    await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
  });
  for (let replica = 0; replica < replicas; replica += 1) gateways.push(await start(replica));
  const at = (replica: number): Gateway => {
    const gateway = gateways[replica];
    if (!gateway) throw new RangeError(`there is no replica ${replica}`);
    return gateway;
  };

  const tokenOf = (username: string, issue: IssueTokenOptions = {}) =>
    emulator.issueToken(ORG, APP, { username, layout: 'long', ...issue });
  const share: Cached['share'] = async ({ restricted = false, picture = pictureOf(), app = APP } = {}) => {
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(picture)], { type: 'image/jpeg' }), 'picture.jpg');
    const owner = emulator.issueToken(ORG, app, { username: 'owner' });
    const headers = bearer(owner, restricted ? { 'restrict-access': 'true' } : {});
    const response = await fetch(`${emulator.url}/${ORG}/${app}/chatfiles`, { method: 'POST', headers, body: form });
    const { entities } = (await response.json()) as { entities: [{ uuid: string; 'share-secret'?: string }] };
    const { uuid, 'share-secret': secret } = entities[0];
    return { uuid, path: `/${ORG}/${app}/chatfiles/${uuid}`, secret, picture };
  };
  const see: Cached['see'] = async ({ path, secret }, token, replica = 0) => {
    const reply = await askWire(at(replica).url, { path, fields: thumbnailFields(token, secret) });
    return { ...reply, cache: cacheOf(reply) };
  };
  const stats = async (replica = 0) => {
    const response = await fetch(`${at(replica).adminUrl}/cache`, { headers: bearer(OPERATOR) });
    return (await response.json()) as { cache: CacheStats; access: AccessStats };
  };
  const found = (replica: number) => until(async () => (await stats(replica)).cache.disk?.state === 'open');
  await Promise.all(gateways.map((_, replica) => found(replica)));

  const open = opened.move();
  return {
    emulator,
    gate,
    summaries,
    keyPrefix,
    url: (replica = 0) => at(replica).url,
    adminUrl: (replica = 0) => at(replica).adminUrl,
    async restart(replica = 0) {
      await at(replica)[Symbol.asyncDispose]();
      gateways[replica] = await start(replica);
      await found(replica);
    },
    close: async (replica = 0) => at(replica)[Symbol.asyncDispose](),
    stats,
    tokenOf,
    async believed(username, issue) {
      const token = tokenOf(username, issue);
      const other = await share();
      for (const replica of gateways.keys()) expect((await see(other, token, replica)).status).toBe(200);
      return token;
    },
    share,
    see,
    fetches: ({ uuid }) => gate.arrived.filter(({ method, path }) => method === 'GET' && path.includes(uuid)).length,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** What an answer tells of the cache, without our own name. */
export const cacheOf = ({ headers }: Reply): string | undefined =>
  headers['cache-status']?.toString().replace('chatfiles-gateway; ', '');
