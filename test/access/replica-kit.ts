import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { type Access, type AccessDeps, createAccess } from '../../src/access/access.ts';
import type { Bearer, TokenKind } from '../../src/access/bearer.ts';
import { type AccessConfig, accessSchema } from '../../src/access/config.ts';
import type { Sight } from '../../src/access/may-see.ts';
import type { Clock } from '../../src/clock.ts';
import { type ChaosProxy, startChaosProxy } from '../kit/chaos-proxy.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { createShiftClock, type ShiftClock } from '../kit/shift-clock.ts';

export const APP = 'o/a';
export const FILE = 'f1';
export const DIGEST_KEY = 'the digest key of all these tests';
/** The window of these tests, in ms. */
export const WINDOW = 30_000;

/** The room's configuration, with the window of these tests. */
export const configOf = (more: Partial<AccessConfig> = {}): AccessConfig => ({
  ...accessSchema.parse({}),
  grantSeconds: WINDOW / 1000,
  ...more,
});

/** A room that shares nothing, closed after the test. */
export function alone(clock: Clock, config: Partial<AccessConfig> = {}, deps: Partial<AccessDeps> = {}): Access {
  const secrets = { digestKey: undefined, realm: 'https://a1.easemob.com' };
  const access = createAccess(configOf(config), { secrets, lifetimeMs: 86_400_000, clock, ...deps });
  onTestFinished(() => access[Symbol.asyncDispose]());
  return access;
}

/** A Redis and a clock for several replicas, which share real time and jump together. */
export type World = { server: TestRedis; clock: ShiftClock; keyPrefix: string };

/** Starts a Redis of the test's own, with more options where some are given. */
export async function setUp(more: Record<string, string> = {}): Promise<World> {
  const server = await startRedis(more);
  onTestFinished(() => server[Symbol.asyncDispose]());
  // Time enough for what is under way: of two calls, the one sent before a jump must not arrive after the other.
  return { server, clock: createShiftClock(6), keyPrefix: 'chatfiles:' };
}

/** A replica of a world, connected, each behind a proxy of its own. */
export type Replica = { access: Access; proxy: ChaosProxy };

/** Starts a replica; `shiftMs` is what its Redis's clock is ahead, where it is not the world's. */
export async function replicaIn(
  world: World,
  config: Partial<AccessConfig> = {},
  deps: Partial<AccessDeps> = {},
  shiftMs = () => world.clock.shiftMs,
): Promise<Replica> {
  const proxy = await startChaosProxy(world.server.port);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const redis = { url: `redis://127.0.0.1:${proxy.port}`, keyPrefix: world.keyPrefix, shiftMs };
  const secrets = { digestKey: DIGEST_KEY, realm: 'https://a1.easemob.com' };
  const access = alone(world.clock, config, { redis, secrets, ...deps });
  await expectSoon(() => access.stats().shared === 'connected', world.clock);
  return { access, proxy };
}

/** Waits until it is so; lets the clock go on, where one is given. */
export async function expectSoon(isSo: () => boolean, clock?: ShiftClock): Promise<void> {
  for (let i = 0; i < 400 && !isSo(); i += 1) {
    await clock?.advance(20);
    await sleep(5);
  }
  expect(isSo()).toBe(true);
}

/** A token as the server reads it from a request. */
export const bearerOf = (
  access: Access,
  value: string,
  { kind = 'unknown', expiresAt }: { kind?: TokenKind; expiresAt?: number } = {},
): Bearer => access.identify(APP, { value, kind, expiresAt });

/** Looks up a token and asks for a file with no secret, as the server does. */
export async function sees(access: Access, token: string, isUpstreamDown = false): Promise<Sight> {
  const bearer = bearerOf(access, token);
  await access.lookUp(bearer);
  return access.maySee(bearer, { file: FILE, secret: undefined }, isUpstreamDown);
}

/** The file of these tests is open: what is asked is only who is believed. */
export const open = (...replicas: Access[]): void => {
  for (const access of replicas) access.learnUpload(APP, FILE, undefined, Infinity);
};

/** What Easemob says of a token that it does not accept. */
export const BAD_TOKEN = { status: 401, error: 'unauthorized', description: 'Unable to authenticate (OAuth)' };
/** What it says of a user who is banned. */
export const BANNED = {
  status: 403,
  error: 'forbidden_service_operation',
  description: 'Service operation not allowed',
};

/** The upstream answered with the file. */
export const accepts = ({ access }: { access: Access }, token: string, sentAt: number): void =>
  access.learnAnswer(bearerOf(access, token), FILE, undefined, sentAt);

/** The upstream refused the token. */
export const refuses = ({ access }: { access: Access }, token: string, sentAt: number): void =>
  void access.learnRefusal(bearerOf(access, token), BAD_TOKEN, sentAt);

/** What a look comes to. */
export const yes = { allowed: true, usedGrace: false };
export const no = (reason: string) => ({ allowed: false, reason });

/** Two replicas that know the file to be open. */
export async function pair(world: World): Promise<[Replica, Replica]> {
  const [a, b] = await Promise.all([replicaIn(world), replicaIn(world)]);
  open(a.access, b.access);
  return [a, b];
}
