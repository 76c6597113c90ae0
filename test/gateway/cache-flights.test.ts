import { describe, expect, it } from 'vitest';
import { type Cached, cacheOf, type CachedOptions, type Shared, startCached, until } from '../kit/cached.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { arrived, arriving, asksOf, believedCrowd, settled, visitor } from '../kit/visitors.ts';

const COLLAPSED = 'fwd=uri-miss; collapsed';

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
    const joiner = await arrived(cached, file, await believed(cached));
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
    const joiner = await arrived(cached, file, bob);
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
    const joiners = await arriving(cached, file, crowd);
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
    const joiner = await arrived(cached, file, await cached.believed('bob'));
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
    const leader = await arrived(cached, file, ann);
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
    const joiner = await arrived(cached, file, bob);
    leader.leave();
    await until(() => cached.summaries.some(({ error }) => error === 'CLIENT_GONE'));
    held.release();
    expect(cacheOf(await joiner.reply)).toBe(COLLAPSED);
    expect(cached.fetches(file)).toBe(1);
  });

  it('is given up when those who waited have left before its client does', async () => {
    const { cached, bob, file, held, before, leader } = await queue();
    const joiner = await arrived(cached, file, bob);
    for (const { leave } of [joiner, leader]) {
      const gone = cached.summaries.length;
      leave();
      await until(() => cached.summaries.length > gone);
    }
    held.release();
    await before.reply;
    await settled(cached);
    expect(cached.fetches(file)).toBe(0);
  });
});
