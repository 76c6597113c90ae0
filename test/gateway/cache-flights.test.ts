import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/emulator/emulator.ts';
import {
  type Cached,
  cacheOf,
  type CachedOptions,
  type Shared,
  startCached,
  thumbnailFields,
  until,
} from '../kit/cached.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { askWire } from '../kit/wire.ts';

const COLLAPSED = 'fwd=uri-miss; collapsed';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

const WITH_AND_WITHOUT: [string, () => CachedOptions][] = [
  ['alone', () => ({})],
  ['with a Redis, where counting a client takes a moment', () => ({ redis })],
];

const believedCrowd = (cached: Cached, count: number): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => cached.believed(`member-${index}`)));

/** The requests for a file that a bearer has caused. */
const asksOf = ({ gate }: Cached, token: string): number =>
  gate.arrived.filter(({ method, authorization }) => method === 'GET' && authorization === `Bearer ${token}`).length;

/** Lets what was sent before arrive: some other requests go all the way there and back. */
async function letArrive(cached: Cached): Promise<void> {
  for (let round = 0; round < 5; round += 1) await askWire(cached.adminUrl(), { path: '/readyz', fields: [] });
}

/** Somebody who asks for a thumbnail, and may leave. */
function visitor(cached: Cached, { path, secret }: Shared, token: string) {
  const leaving = new AbortController();
  const reply = askWire(cached.url(), { path, fields: thumbnailFields(token, secret) }, leaving.signal);
  return { reply, leave: () => leaving.abort() };
}

describe('hundreds at once', () => {
  it.each(WITH_AND_WITHOUT)('make one fetch, %s', async (_case, options) => {
    const cached = await startCached(options());
    const crowd = await believedCrowd(cached, 20);
    const file = await cached.share({ restricted: true });
    const seen = await Promise.all(
      Array.from({ length: 15 }, () => crowd.map((token) => cached.see(file, token))).flat(),
    );
    expect(seen.filter(({ body }) => !body.equals(file.picture))).toEqual([]);
    expect(cached.fetches(file)).toBe(1);
    expect(seen.filter(({ cache }) => cache === 'fwd=uri-miss; fwd-status=200; stored')).toHaveLength(1);
  });

  it('make one request where the entry is on the disk, and nobody knows any more who may see it', async () => {
    const cached = await startCached({ replicas: 2, redis });
    const crowd = await believedCrowd(cached, 20);
    const file = await cached.share({ restricted: true });
    expect((await cached.see(file, crowd[0] ?? '')).status).toBe(200);
    await cached.restart();
    const seen = await Promise.all(crowd.map((token) => cached.see(file, token)));
    expect(seen.filter(({ body }) => !body.equals(file.picture))).toEqual([]);
    expect(cached.fetches(file)).toBe(2);
    expect(seen.filter(({ cache }) => cache === 'fwd=request; fwd-status=304')).toHaveLength(1);
  });
});

describe('a fetch under way', () => {
  /** A believed leader whose request is held back. */
  async function lead(restricted: boolean, options: CachedOptions = {}) {
    const cached = await startCached(options);
    const ann = await cached.believed('ann');
    const file = await cached.share({ restricted });
    const held = cached.gate.hold(({ headers }) => headers.authorization === `Bearer ${ann}`);
    const leader = visitor(cached, file, ann);
    await until(() => held.count === 1);
    return { cached, ann, file, held, leader };
  }

  it.each<[string, boolean, (cached: Cached) => Promise<string>]>([
    ['a believed user with the same secret', true, (cached) => cached.believed('bob')],
    [
      'a believed token of unknown kind with the same secret',
      true,
      (cached) => cached.believed('bob', { layout: 'short' }),
    ],
    ['a believed user, where neither has a secret', false, (cached) => cached.believed('bob')],
  ])('is waited for by %s', async (_case, restricted, believed) => {
    const { cached, file, held, leader } = await lead(restricted);
    const joiner = visitor(cached, file, await believed(cached));
    await letArrive(cached);
    held.release();
    const replies = await Promise.all([leader.reply, joiner.reply]);
    expect(replies.map(({ body }) => body.equals(file.picture))).toEqual([true, true]);
    expect(cacheOf(replies[1])).toBe(COLLAPSED);
    expect(cached.fetches(file)).toBe(1);
  });

  it('is waited for by a token of any kind, where the file is known to be open', async () => {
    const cached = await startCached();
    const [ann, bob] = [
      await cached.believed('ann', { layout: 'short' }),
      await cached.believed('bob', { kind: 'app' }),
    ];
    const form = new FormData();
    const shared = await cached.share();
    form.append('file', new Blob([new Uint8Array(shared.picture)], { type: 'image/jpeg' }), 'picture.jpg');
    const uploaded = await fetch(`${cached.url()}/o1/a1/chatfiles`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ann}` },
      body: form,
    });
    const { entities } = (await uploaded.json()) as { entities: [{ uuid: string }] };
    const file = { ...shared, uuid: entities[0].uuid, path: `/o1/a1/chatfiles/${entities[0].uuid}` };
    const held = cached.gate.hold(({ method }) => method === 'GET');
    const leader = visitor(cached, file, ann);
    await until(() => held.count === 1);
    const joiner = visitor(cached, file, bob);
    await letArrive(cached);
    held.release();
    expect((await leader.reply).body.equals(file.picture)).toBe(true);
    expect(cacheOf(await joiner.reply)).toBe(COLLAPSED);
  });

  it.each<[string, boolean, (cached: Cached, file: Shared) => Promise<[string, string | undefined]>, number]>([
    ['somebody with another secret', true, async (cached) => [await cached.believed('bob'), 'wrong'], 403],
    ['somebody without the secret', true, async (cached) => [await cached.believed('bob'), undefined], 403],
    ['somebody who is not believed', true, async (cached, { secret }) => [cached.tokenOf('bob'), secret], 200],
    [
      'a token of unknown kind without a secret',
      false,
      async (cached) => [await cached.believed('bob', { layout: 'short' }), undefined],
      200,
    ],
    [
      "the app's own token, where nothing is known of the file",
      true,
      async (cached, { secret }) => [await cached.believed('app', { kind: 'app' }), secret],
      200,
    ],
    ['a made-up token', false, async () => ['YWMtmadeup', undefined], 401],
  ])('is not waited for by %s', async (_case, restricted, credentials, status) => {
    const { cached, file, held, leader } = await lead(restricted);
    const [token, secret] = await credentials(cached, file);
    // It is answered while the leader still waits.
    const reply = await visitor(cached, { ...file, secret }, token).reply;
    expect(reply.status).toBe(status);
    expect(asksOf(cached, token)).toBeGreaterThanOrEqual(1);
    held.release();
    expect((await leader.reply).body.equals(file.picture)).toBe(true);
  });

  it('that is old is not waited for', async () => {
    const clock = createShiftClock();
    const { cached, file, held, leader } = await lead(true, { clock });
    const bob = await cached.believed('bob');
    await clock.advance(5001);
    expect((await visitor(cached, file, bob).reply).body.equals(file.picture)).toBe(true);
    held.release();
    expect((await leader.reply).status).toBe(200);
    expect(cached.fetches(file)).toBe(2);
  });

  it('of somebody who is not believed makes nobody wait', async () => {
    const cached = await startCached();
    const bob = await cached.believed('bob');
    const file = await cached.share();
    const held = cached.gate.hold(({ headers }) => headers.authorization === 'Bearer YWMtmadeup');
    const strangers = Array.from({ length: 3 }, () => visitor(cached, file, 'YWMtmadeup'));
    await until(() => held.count > 0);
    expect((await cached.see(file, bob)).body.equals(file.picture)).toBe(true);
    expect((await cached.see(file, bob)).cache).toBe('hit; detail=memory');
    held.release();
    for (const { reply } of strangers) expect((await reply).status).toBe(401);
  });

  it('whose token is refused is taken over by one of those who wait', async () => {
    const { cached, ann, file, held, leader } = await lead(false);
    const crowd = await believedCrowd(cached, 20);
    const joiners = crowd.map((token) => visitor(cached, file, token));
    await letArrive(cached);
    cached.emulator.revokeToken(ann);
    held.release();
    expect((await leader.reply).status).toBe(401);
    const replies = await Promise.all(joiners.map(({ reply }) => reply));
    expect(replies.filter(({ body }) => !body.equals(file.picture))).toEqual([]);
    expect(cached.fetches(file)).toBe(2);
  });

  it('goes on when its client leaves, also if nobody waits for it', async () => {
    const { cached, ann, file, held, leader } = await lead(false);
    leader.leave();
    await leader.reply;
    await until(() => cached.summaries.some(({ error }) => error === 'CLIENT_GONE'));
    held.release();
    await until(async () => (await cached.stats()).cache.memory.entries === 2);
    expect((await cached.see(file, ann)).cache).toBe('hit; detail=memory');
    expect(cached.fetches(file)).toBe(1);
  });

  it('goes on for the others when its client leaves', async () => {
    const { cached, file, held, leader } = await lead(false);
    const joiner = visitor(cached, file, await cached.believed('bob'));
    await letArrive(cached);
    leader.leave();
    await until(() => cached.summaries.some(({ error }) => error === 'CLIENT_GONE'));
    held.release();
    expect(cacheOf(await joiner.reply)).toBe(COLLAPSED);
    expect(cached.fetches(file)).toBe(1);
  });

  it('does not keep the gateway from closing when its body stands still', async () => {
    const cached = await startCached();
    const ann = await cached.believed('ann');
    const file = await cached.share();
    cached.emulator.fault({ kind: 'hang', where: 'middle' });
    const leader = visitor(cached, file, ann);
    await until(() => cached.emulator.received().some(({ fault, status }) => fault === 'hang' && status === 200));
    leader.leave();
    await cached.close();
    expect((await leader.reply).status).toBe(0);
  });
});

describe('a fetch that has not gone out', () => {
  /** The only connection to the upstream is taken: a leader's request waits for it. */
  async function queue() {
    const cached = await startCached({ set: ['upstream.maxSockets=1'] });
    const [ann, bob] = [await cached.believed('ann'), await cached.believed('bob')];
    const [blocker, file] = [await cached.share(), await cached.share()];
    const held = cached.gate.hold();
    const before = visitor(cached, blocker, cached.tokenOf('before'));
    await until(() => held.count === 1);
    const leader = visitor(cached, file, ann);
    await letArrive(cached);
    return { cached, bob, file, held, before, leader };
  }

  it('is given up when its client leaves and nobody waits for it', async () => {
    const { cached, bob, file, held, before, leader } = await queue();
    leader.leave();
    await until(() => cached.summaries.some(({ error }) => error === 'CLIENT_GONE'));
    held.release();
    await before.reply;
    expect(cached.fetches(file)).toBe(0);
    expect((await cached.see(file, bob)).cache).toBe('fwd=uri-miss; fwd-status=200; stored');
    expect(cached.fetches(file)).toBe(1);
  });

  it('is not given up when others wait for it', async () => {
    const { cached, bob, file, held, leader } = await queue();
    const joiner = visitor(cached, file, bob);
    await letArrive(cached);
    leader.leave();
    await until(() => cached.summaries.some(({ error }) => error === 'CLIENT_GONE'));
    held.release();
    expect(cacheOf(await joiner.reply)).toBe(COLLAPSED);
    expect(cached.fetches(file)).toBe(1);
  });

  it('is given up when those who waited have left before its client does', async () => {
    const { cached, bob, file, held, before, leader } = await queue();
    const joiner = visitor(cached, file, bob);
    await letArrive(cached);
    for (const { leave } of [joiner, leader]) {
      const gone = cached.summaries.length;
      leave();
      await until(() => cached.summaries.length > gone);
    }
    held.release();
    await before.reply;
    await letArrive(cached);
    expect(cached.fetches(file)).toBe(0);
  });
});

describe('an upstream that fails', () => {
  it.each<[string, Fault, number, number]>([
    ['by a reset', { kind: 'reset' }, 502, 2],
    ['by a refusal of all', { kind: 'status', status: 500 }, 500, 1],
    ['for its limit', { kind: 'unavailable' }, 503, 2],
    ['by silence', { kind: 'hang' }, 504, 2],
    ['in the middle of its answer, again and again', { kind: 'truncate' }, 502, 2],
  ])('%s is not asked by each of those who wait', async (_case, fault, status, atMost) => {
    const cached = await startCached({
      set: ['retry.attempts=2', 'retry.throttledAttempts=2', 'upstream.answerTimeoutMs=200'],
    });
    const crowd = await believedCrowd(cached, 20);
    const file = await cached.share();
    const held = cached.gate.hold();
    const visitors = crowd.map((token) => visitor(cached, file, token));
    await until(() => held.count === 1);
    await letArrive(cached);
    cached.emulator.fault(fault);
    held.release();
    const replies = await Promise.all(visitors.map(({ reply }) => reply));
    const statuses = new Set(replies.map((reply) => reply.status));
    // Where the upstream had words, its leader gets them; the others get ours.
    statuses.delete(status === 500 ? 502 : status);
    statuses.delete(status);
    expect([...statuses]).toEqual([]);
    expect(cached.fetches(file)).toBeLessThanOrEqual(atMost);
    cached.emulator.clearFaults();
    expect((await cached.see(file, crowd[0] ?? '')).body.equals(file.picture)).toBe(true);
  });
});

describe('a bearer who is not believed', () => {
  async function gallery(options: CachedOptions) {
    const cached = await startCached(options);
    const ann = await cached.believed('ann');
    const files = await Promise.all(Array.from({ length: 12 }, () => cached.share()));
    for (const file of files) expect((await cached.see(file, ann)).status).toBe(200);
    return { cached, files };
  }

  it.each(WITH_AND_WITHOUT)(
    'costs one request, however many kept files it asks for at once, %s',
    async (_case, options) => {
      const { cached, files } = await gallery(options());
      const bob = cached.tokenOf('bob');
      const seen = await Promise.all(files.map((file) => cached.see(file, bob)));
      expect(seen.map(({ body }, index) => body.equals(files[index]?.picture ?? body.subarray(1)))).not.toContain(
        false,
      );
      expect(asksOf(cached, bob)).toBe(1);
    },
  );

  it.each(WITH_AND_WITHOUT)('costs one request when it is refused, %s', async (_case, options) => {
    const { cached, files } = await gallery(options());
    const seen = await Promise.all(files.map((file) => cached.see(file, 'YWMtmadeup')));
    expect(new Set(seen.map(({ status }) => status))).toEqual(new Set([401]));
    expect(asksOf(cached, 'YWMtmadeup')).toBe(1);
  });

  it('is asked about on a connection that is used again', async () => {
    const { cached, files } = await gallery({ set: ['upstream.maxSockets=1'] });
    const before = portsOf(cached).size;
    for (let index = 0; index < 10; index += 1) {
      const seen = await cached.see(files[0] as Shared, cached.tokenOf(`user-${index}`));
      expect(seen.cache).toBe('fwd=request; fwd-status=304');
    }
    expect(portsOf(cached).size).toBe(before);
  });
});

/** The connections that the gate has seen. */
const portsOf = ({ gate }: Cached): Set<number> => new Set(gate.arrived.map(({ port }) => port));
