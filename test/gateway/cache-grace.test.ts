import { describe, expect, it } from 'vitest';
import type { Fault } from '../../src/emulator/emulator.ts';
import { type Cached, cacheOf, startCached, thumbnailFields, until } from '../kit/cached.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { askWire } from '../kit/wire.ts';

const HIT = 'hit; detail=memory';
const GRACE = 'hit; detail=grace';
const GRANT_MS = 300_000;

const DOWN: [string, Fault, number][] = [
  ['resets every connection', { kind: 'reset' }, 502],
  ['is silent', { kind: 'hang' }, 504],
  ['has no room for anybody', { kind: 'unavailable' }, 503],
  ['has no room for anybody, and says so in its newer words', { kind: 'status', status: 429 }, 503],
  ['fails', { kind: 'status', status: 500 }, 500],
  ['is hidden behind a broken hop', { kind: 'status', status: 502, headers: { 'content-type': 'text/html' } }, 502],
];

/** A picture that is kept, and who has seen it. */
async function start(set: string[] = ['access.graceSeconds=600']) {
  const clock = createShiftClock();
  const cached = await startCached({
    clock,
    set: ['retry.attempts=1', 'retry.throttledAttempts=1', 'upstream.answerTimeoutMs=1000', ...set],
  });
  const ann = cached.tokenOf('ann');
  const file = await cached.share({ restricted: true });
  expect((await cached.see(file, ann)).status).toBe(200);
  return { clock, cached, ann, file };
}

describe('while the upstream', () => {
  it.each(DOWN)('%s, what is kept is served as always to those who are believed', async (_case, fault) => {
    const { clock, cached, ann, file } = await start([]);
    cached.emulator.fault(fault);
    await clock.advance(GRANT_MS - 1000);
    const seen = await cached.see(file, ann);
    expect([seen.cache, seen.body.equals(file.picture)]).toEqual([HIT, true]);
  });

  it.each(DOWN)(
    '%s, a grace is given after the window, and marked, but only if there is one',
    async (_case, fault, status) => {
      for (const [set, wanted] of [
        [['access.graceSeconds=600'], 200],
        [[], status],
      ] as const) {
        const { clock, cached, ann, file } = await start([...set]);
        await clock.advance(GRANT_MS);
        cached.emulator.fault(fault);
        const seen = await cached.see(file, ann);
        expect([seen.status, seen.cache]).toEqual([wanted, wanted === 200 ? GRACE : undefined]);
        if (wanted === 200) expect(seen.body.equals(file.picture)).toBe(true);
      }
    },
  );

  it('is down, the grace ends too, and is not renewed by being used', async () => {
    const { clock, cached, ann, file } = await start();
    await clock.advance(GRANT_MS);
    cached.emulator.fault({ kind: 'reset' });
    for (let minute = 0; minute < 10; minute += 1) {
      expect((await cached.see(file, ann)).cache).toBe(GRACE);
      await clock.advance(60_000);
    }
    expect((await cached.see(file, ann)).status).toBe(502);
  });

  it('is down, parts and heads and conditions are answered from what is kept', async () => {
    const { clock, cached, ann, file } = await start();
    await clock.advance(GRANT_MS);
    cached.emulator.fault({ kind: 'reset' });
    const fields = thumbnailFields(ann, file.secret);
    const etag = String((await cached.see(file, ann)).headers['etag']);
    const part = await askWire(cached.url(), { path: file.path, fields: [...fields, ['Range', 'bytes=0-9']] });
    expect([part.status, part.body, cacheOf(part)]).toEqual([206, file.picture.subarray(0, 10), GRACE]);
    const head = await askWire(cached.url(), { path: file.path, fields, method: 'HEAD' });
    expect([head.status, head.body.length, cacheOf(head)]).toEqual([200, 0, GRACE]);
    const same = await askWire(cached.url(), { path: file.path, fields: [...fields, ['If-None-Match', etag]] });
    expect([same.status, cacheOf(same)]).toEqual([304, GRACE]);
  });

  it('is down, no grace is given to whom nothing was granted, or not this', async () => {
    const { clock, cached, ann, file } = await start();
    const expired = cached.tokenOf('bob', { ttlSeconds: GRANT_MS / 1000 + 60 });
    const refused = cached.tokenOf('cid');
    for (const token of [expired, refused]) expect((await cached.see(file, token)).status).toBe(200);
    cached.emulator.revokeToken(refused);
    await clock.advance(GRANT_MS);
    expect((await cached.see(file, refused)).status).toBe(401);
    // The refusal is no longer repeated, but not forgotten.
    await clock.advance(60_000);
    cached.emulator.fault({ kind: 'reset' });
    const down = async (token: string, secret = file.secret) => (await cached.see({ ...file, secret }, token)).status;
    expect(await down(ann)).toBe(200);
    expect(await down(expired)).toBe(401);
    expect(await down(refused)).toBe(502);
    expect(await down(cached.tokenOf('dan'))).toBe(502);
    expect(await down('YWMtmadeup')).toBe(502);
    for (const secret of ['wrong', '']) expect(await down(ann, secret)).toBe(502);
    const bare = { path: file.path, fields: thumbnailFields(ann) };
    expect((await askWire(cached.url(), bare)).status).toBe(502);
  });

  it('says no, no grace is given: it is not down', async () => {
    const exhausted = { kind: 'status', status: 429, body: { error: 'resource_limited' } } satisfies Fault;
    const faults = [400, 401, 403, 404, 410].map((status) => ({ kind: 'status', status }) satisfies Fault);
    for (const fault of [...faults, exhausted]) {
      const { clock, cached, ann, file } = await start();
      await clock.advance(GRANT_MS);
      cached.emulator.fault(fault);
      expect((await cached.see(file, ann)).status).toBe(fault.status);
    }
  });

  it('is down, however many pictures somebody asks for at once, one request finds that out', async () => {
    const { clock, cached, ann } = await start();
    const files = await Promise.all(Array.from({ length: 10 }, () => cached.share({ restricted: true })));
    for (const file of files) expect((await cached.see(file, ann)).status).toBe(200);
    await clock.advance(GRANT_MS);
    cached.emulator.fault({ kind: 'hang' });
    const before = cached.gate.arrived.length;
    const seen = await Promise.all(files.map((file) => cached.see(file, ann)));
    expect(seen.map(({ cache }) => cache)).toEqual(files.map(() => GRACE));
    expect(seen.every(({ body }, index) => files[index]?.picture.equals(body))).toBe(true);
    expect(cached.gate.arrived.length - before).toBe(1);
  });

  it('is back, it is asked again after a few seconds', async () => {
    const { clock, cached, ann, file } = await start();
    await clock.advance(GRANT_MS);
    cached.emulator.fault({ kind: 'reset', times: 1 });
    const asked = cached.gate.arrived.length;
    // Who comes while it is known to be down waits for no vain try of its own.
    for (let i = 0; i < 5; i += 1) expect((await cached.see(file, ann)).cache).toBe(GRACE);
    expect(cached.gate.arrived.length - asked).toBe(1);
    await clock.advance(5000);
    expect((await cached.see(file, ann)).cache).toBe('fwd=request; fwd-status=304');
    expect((await cached.see(file, ann)).cache).toBe(HIT);
  });
});

describe('a token that was refused a moment ago', () => {
  const asks = ({ gate }: Cached) => gate.arrived.length;

  it('is refused again without asking, in the same words, and asked about later', async () => {
    const { clock, cached, file } = await start([]);
    const eve = cached.tokenOf('eve');
    cached.emulator.revokeToken(eve);
    const first = await cached.see(file, eve);
    const before = asks(cached);
    const wordsOf = (body: Buffer) => {
      const { error, error_description: description } = JSON.parse(body.toString()) as Record<string, unknown>;
      return [error, description];
    };
    for (let again = 0; again < 20; again += 1) {
      const seen = await cached.see(file, eve);
      expect([seen.status, wordsOf(seen.body)]).toEqual([401, wordsOf(first.body)]);
    }
    expect(asks(cached)).toBe(before);
    await clock.advance(5001);
    expect((await cached.see(file, eve)).status).toBe(401);
    expect(asks(cached)).toBe(before + 1);
  });

  it('and wrongly so, is locked out for no longer than that', async () => {
    const { clock, cached, ann, file } = await start([]);
    cached.emulator.fault({
      kind: 'status',
      status: 401,
      body: { error: 'unauthorized', error_description: 'Unable to authenticate (OAuth)' },
      times: 1,
    });
    const original = {
      path: file.path,
      fields: thumbnailFields(ann, file.secret).filter(([name]) => name !== 'thumbnail'),
    };
    expect((await askWire(cached.url(), original)).status).toBe(401);
    expect((await cached.see(file, ann)).status).toBe(401);
    await clock.advance(5001);
    expect((await cached.see(file, ann)).cache).toBe('fwd=request; fwd-status=304');
    expect((await cached.see(file, ann)).cache).toBe(HIT);
  });

  it('is asked about each time where that is wished', async () => {
    const { cached, file } = await start(['access.refusalSeconds=0']);
    const before = asks(cached);
    for (let again = 0; again < 5; again += 1) expect((await cached.see(file, 'YWMtmadeup')).status).toBe(401);
    expect(asks(cached)).toBe(before + 5);
  });
});

describe('the limit of each client', () => {
  it('counts what is sent on, and no hit, and nobody who only waits', async () => {
    const cached = await startCached({ set: ['clientLimit.requests=3', 'clientLimit.seconds=3600'] });
    const file = await cached.share();
    const ann = await cached.believed('ann');
    const held = cached.gate.hold();
    const crowd = Array.from({ length: 20 }, () => cached.see(file, ann));
    await until(() => held.count === 1);
    held.release();
    const seen = await Promise.all(crowd);
    expect(new Set(seen.map(({ status }) => status))).toEqual(new Set([200]));
    for (let again = 0; again < 10; again += 1) {
      const hit = await cached.see(file, ann);
      expect([hit.status, hit.headers['ratelimit']]).toEqual([200, undefined]);
    }
    // Two were counted so far: this is the third, and there is no fourth.
    const others = [await cached.share(), await cached.share()];
    expect((await cached.see(others[0] ?? file, ann)).status).toBe(200);
    expect((await cached.see(others[1] ?? file, ann)).status).toBe(503);
    expect((await cached.see(file, ann)).cache).toBe(HIT);
  });

  it('has another one beside it for what is answered here', async () => {
    const cached = await startCached({ set: ['clientLimit.localPerSecond=5'] });
    const ann = await cached.believed('ann');
    const file = await cached.share();
    expect((await cached.see(file, ann)).status).toBe(200);
    const seen = await Promise.all(Array.from({ length: 60 }, () => cached.see(file, ann)));
    const refused = seen.filter(({ status }) => status !== 200);
    expect(new Set(refused.map(({ status, headers }) => [status, headers['retry-after']].join()))).toEqual(
      new Set(['503,1']),
    );
    // Sixty take less than a few of its seconds.
    expect(refused.length).toBeGreaterThan(30);
    for (const { body } of refused) expect(body.includes(file.picture.subarray(0, 16))).toBe(false);
  });
});
