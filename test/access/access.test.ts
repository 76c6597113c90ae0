import { beforeEach, describe, expect, it } from 'vitest';
import type { Access } from '../../src/access/access.ts';
import { createFakeClock, type FakeClock } from '../kit/fake-clock.ts';
import { accepts, alone, APP, BAD_TOKEN, BANNED, bearerOf, FILE, open, sees, WINDOW } from './replica-kit.ts';
import { AGORA, agoraToken, chat } from './tokens-kit.ts';

const yes = { allowed: true, usedGrace: false };
const no = (reason: string) => ({ allowed: false, reason });

let clock: FakeClock;
let access: Access;
beforeEach(() => {
  clock = createFakeClock();
  access = alone(clock, { graceSeconds: 10 });
});

const now = () => clock.monotonic();

describe('a token', () => {
  it('is believed for a window from when the accepted request was sent, not from its answer', async () => {
    open(access);
    expect(await sees(access, 't')).toEqual(no('no-grant'));
    expect(access.holdsGrant(bearerOf(access, 't'))).toBe(false);
    accepts({ access }, 't', now() - 5000);
    expect(await sees(access, 't')).toEqual(yes);
    expect(access.holdsGrant(bearerOf(access, 't'))).toBe(true);
    await clock.advance(WINDOW - 5001);
    expect(await sees(access, 't')).toEqual(yes);
    await clock.advance(1);
    expect(await sees(access, 't')).toEqual(no('no-grant'));
  });

  it('is not renewed by being believed', async () => {
    open(access);
    accepts({ access }, 't', now());
    for (let i = 0; i < 10; i += 1) {
      await clock.advance(WINDOW / 10);
      expect((await sees(access, 't')).allowed).toBe(i < 9);
    }
  });

  it('is believed as soon as it was issued, for a window from when the login was sent', async () => {
    open(access);
    const issued = { value: 't', kind: 'user', expiresAt: clock.now() + 10 * WINDOW, lastsMs: undefined } as const;
    access.learnIssued(APP, issued, now() - 5000);
    expect(await sees(access, 't')).toEqual(yes);
    expect(access.isProven(APP, 't')).toBe(true);
    await clock.advance(WINDOW - 5000);
    expect(await sees(access, 't')).toEqual(no('no-grant'));
  });

  it('is not believed by its login alone where it may end before that is over and its text does not tell', async () => {
    open(access);
    const GRACE = 10_000;
    for (const [value, lastsMs, allowed] of [
      ['unknown', undefined, false],
      ['short', WINDOW + GRACE - 1, false],
      ['long', WINDOW + GRACE, true],
    ] as const) {
      access.learnIssued(APP, { value, kind: 'unknown', expiresAt: undefined, lastsMs }, now());
      expect([value, (await sees(access, value)).allowed]).toEqual([value, allowed]);
      // In line, it is no stranger.
      expect(access.isProven(APP, value)).toBe(true);
    }
  });

  it('is not believed beyond its own end, however long its login said', async () => {
    open(access);
    const issued = { value: 't', kind: 'user', expiresAt: clock.now() + 1000, lastsMs: 10 * WINDOW } as const;
    access.learnIssued(APP, issued, now());
    const { expiresAt } = issued;
    const bearer = bearerOf(access, 't', { expiresAt });
    expect(access.maySee(bearer, { file: FILE, secret: undefined })).toEqual(yes);
    await clock.advance(1000);
    expect(access.maySee(bearer, { file: FILE, secret: undefined })).toEqual(no('token-ended'));
  });

  it('is not believed by a login that was sent before it was refused', async () => {
    open(access);
    const sentAt = now();
    await clock.advance(100);
    access.learnRefusal(bearerOf(access, 't'), BAD_TOKEN, now());
    access.learnIssued(APP, { value: 't', kind: 'user', expiresAt: clock.now() + WINDOW, lastsMs: undefined }, sentAt);
    expect((await sees(access, 't')).allowed).toBe(false);
  });

  it('is believed for its app alone', () => {
    open(access);
    accepts({ access }, 't', now());
    const elsewhere = access.identify('o/b', { value: 't', kind: 'user', expiresAt: undefined });
    access.learnUpload('o/b', FILE, undefined, now());
    expect(access.maySee(elsewhere, { file: FILE, secret: undefined })).toEqual(no('no-grant'));
  });

  it('is not believed beyond its own end', async () => {
    open(access);
    const bearer = bearerOf(access, 't', { expiresAt: clock.now() + 1000 });
    access.learnAnswer(bearer, FILE, undefined, now());
    expect(access.maySee(bearer, { file: FILE, secret: undefined })).toEqual(yes);
    await clock.advance(1000);
    expect(access.maySee(bearer, { file: FILE, secret: undefined }, true)).toEqual(no('token-ended'));
  });

  it('is believed for the grace while the upstream is down, and no longer, and not when it was refused', async () => {
    open(access);
    accepts({ access }, 't', now());
    accepts({ access }, 'refused', now());
    access.learnRefusal(bearerOf(access, 'refused'), BAD_TOKEN, now());
    await clock.advance(WINDOW);
    expect(await sees(access, 't')).toEqual(no('no-grant'));
    expect(await sees(access, 't', true)).toEqual({ allowed: true, usedGrace: true });
    expect(await sees(access, 'refused', true)).toEqual(no('token-refused'));
    await clock.advance(10_000);
    expect(await sees(access, 't', true)).toEqual(no('no-grant'));
  });

  it('that was accepted for something else is proven, and sees nothing', async () => {
    open(access);
    access.learnAccepted(bearerOf(access, 't'), now());
    expect(access.isProven(APP, 't')).toBe(true);
    expect(access.isProven('o/b', 't')).toBe(false);
    expect(await sees(access, 't')).toEqual(no('no-grant'));
    await clock.advance(WINDOW);
    expect(access.isProven(APP, 't')).toBe(false);
  });

  it('whose request was sent in the future was sent now', async () => {
    open(access);
    accepts({ access }, 't', now() + 1e9);
    await clock.advance(WINDOW);
    expect(await sees(access, 't')).toEqual(no('no-grant'));
  });

  it('is never believed where the window is nothing, but may be proven', async () => {
    const strict = alone(clock, { grantSeconds: 0, graceSeconds: 100 });
    open(strict);
    accepts({ access: strict }, 't', now());
    expect(await sees(strict, 't', true)).toEqual(no('no-grant'));
    expect(strict.isProven(APP, 't')).toBe(true);
  });
});

describe('a refusal', () => {
  it.each([
    ['of the token', BAD_TOKEN, 'token-refused'],
    ['of the service', BANNED, 'service-forbidden'],
  ] as const)('%s ends the grant at once, and is repeated for a short while', async (_case, refusal, kind) => {
    open(access);
    accepts({ access }, 't', now() - 1);
    const bearer = bearerOf(access, 't');
    expect(access.learnRefusal(bearer, refusal, now())).toBe(kind);
    expect(await sees(access, 't')).toEqual(no('token-refused'));
    expect([access.refusalOf(bearer), access.isProven(APP, 't')]).toEqual([kind, false]);
    await clock.advance(4999);
    expect(access.refusalOf(bearer)).toBe(kind);
    await clock.advance(1);
    expect(access.refusalOf(bearer)).toBeUndefined();
    expect(await sees(access, 't')).toEqual(no('token-refused'));
  });

  it('of anything else ends nothing', async () => {
    open(access);
    accepts({ access }, 't', now());
    const bearer = bearerOf(access, 't');
    const others = [
      { status: 401, error: 'unauthorized', description: 'Subject does not have permission [x]' },
      { status: 404, error: 'entity_not_found' },
      { status: 429, error: 'reach_limit' },
      { status: 500 },
      { status: 503 },
    ];
    for (const refusal of others) expect(access.learnRefusal(bearer, refusal, now())).toBe('other');
    expect(access.learnRefusal(bearer, { status: 403, error: 'forbidden' }, now(), { file: 'f2', secret: 's' })).toBe(
      'other',
    );
    expect(await sees(access, 't')).toEqual(yes);
    expect(access.refusalOf(bearer)).toBeUndefined();
  });

  it('is not overtaken by the answer to an earlier request, but by that to a later one', async () => {
    open(access);
    access.learnRefusal(bearerOf(access, 't'), BAD_TOKEN, now());
    accepts({ access }, 't', now() - 1);
    expect(await sees(access, 't')).toEqual(no('token-refused'));
    expect(access.refusalOf(bearerOf(access, 't'))).toBe('token-refused');
    await clock.advance(1);
    accepts({ access }, 't', now());
    expect(await sees(access, 't')).toEqual(yes);
    expect(access.refusalOf(bearerOf(access, 't'))).toBeUndefined();
  });

  it('is not repeated at all where that is configured', () => {
    const lenient = alone(clock, { refusalSeconds: 0 });
    lenient.learnRefusal(bearerOf(lenient, 't'), BAD_TOKEN, now());
    expect(lenient.refusalOf(bearerOf(lenient, 't'))).toBeUndefined();
  });
});

describe('a file', () => {
  const ask = (token: string, secret?: string) => access.maySee(bearerOf(access, token), { file: FILE, secret });
  const serve = (token: string, secretSent: string | undefined, kind: 'user' | 'app' | 'unknown' = 'unknown') =>
    access.learnAnswer(bearerOf(access, token, { kind }), FILE, secretSent, now());

  beforeEach(() => {
    // A token that is believed, for another file.
    access.learnAnswer(bearerOf(access, 'bob'), 'f2', undefined, now());
  });

  it('is shown to others with the secret that was accepted, and with no other', () => {
    serve('alice', 'secret');
    expect(ask('bob', 'secret')).toEqual(yes);
    for (const secret of ['wrong', '', undefined]) expect(ask('bob', secret)).toEqual(no('no-proof'));
    expect(ask('carol', 'secret')).toEqual(no('no-grant'));
  });

  it('that a token of unknown kind got without a secret is shown to that token alone', () => {
    serve('alice', undefined);
    expect([ask('alice'), ask('bob')]).toEqual([yes, no('no-proof')]);
    serve('alice', undefined, 'user');
    expect(ask('bob')).toEqual(yes);
  });

  it("that an app's token got proves nothing for others", () => {
    serve('app', 'anything', 'app');
    expect([ask('app', 'anything'), ask('bob', 'anything')]).toEqual([yes, no('no-proof')]);
    serve('app', undefined, 'app');
    expect(ask('bob')).toEqual(no('no-proof'));
  });

  it('is asked for anew once its credentials were refused, and not once it is gone', () => {
    serve('alice', 'secret');
    const asked = { file: FILE, secret: 'secret' };
    access.learnRefusal(bearerOf(access, 'alice'), { status: 403, error: 'forbidden' }, now(), asked);
    expect([ask('bob', 'secret'), ask('alice', 'secret')]).toEqual([no('no-proof'), no('no-proof')]);
    access.learnUpload(APP, FILE, undefined, now() + 1);
    expect(access.stats().files).toBe(1);
    access.learnRefusal(bearerOf(access, 'alice'), { status: 404, error: 'file_expired' }, now(), asked);
    expect(access.stats().files).toBe(0);
    access.learnUpload(APP, FILE, undefined, now());
    access.forgetFile(APP, FILE);
    expect(ask('bob')).toEqual(no('no-proof'));
  });
});

describe('a token that proves itself', () => {
  const ISSUED = 1_700_000_000_000;
  const HOUR = 3_600_000;
  const token = agoraToken();
  const verifying = () => {
    const access = alone(clock, { verify: { agora: [AGORA], easemob: [] } });
    open(access);
    return access;
  };

  beforeEach(() => {
    clock = createFakeClock(ISSUED + 1000);
    access = verifying();
  });

  it('is believed for one window from its first sight, and then only when the upstream accepts it', async () => {
    expect(await sees(access, token)).toEqual(yes);
    await clock.advance(WINDOW - 1);
    expect(await sees(access, token)).toEqual(yes);
    await clock.advance(1);
    expect(await sees(access, token)).toEqual(no('no-grant'));
    await clock.advance(HOUR / 2);
    expect(await sees(access, token)).toEqual(no('no-grant'));
    accepts({ access }, token, now());
    expect(await sees(access, token)).toEqual(yes);
  });

  it('has no second window when it is written in another way', async () => {
    expect(await sees(access, token)).toEqual(yes);
    await clock.advance(WINDOW);
    for (const level of [0, 1, 9]) expect(await sees(access, agoraToken({ level }))).toEqual(no('no-grant'));
  });

  it('is refused in whatever way it is written until it ends', async () => {
    expect(await sees(access, token)).toEqual(yes);
    expect(await sees(access, agoraToken({ level: 0 }))).toEqual(yes);
    access.learnRefusal(bearerOf(access, token), BAD_TOKEN, now());
    for (const text of [token, agoraToken({ level: 0 }), agoraToken({ level: 1 })]) {
      expect(await sees(access, text)).toEqual(no('token-refused'));
    }
    for (let i = 0; i < 10; i += 1) {
      await clock.advance(WINDOW);
      expect((await sees(access, agoraToken({ level: i % 10 }))).allowed).toBe(false);
    }
  });

  it('has no window at all once it was refused, even before it was first seen', async () => {
    access.learnRefusal(bearerOf(access, token), BAD_TOKEN, now());
    await clock.advance(10 * WINDOW);
    expect((await sees(access, token)).allowed).toBe(false);
    expect((await sees(access, agoraToken({ level: 0 }))).allowed).toBe(false);
  });

  it('is believed again once the upstream accepts it after all', async () => {
    access.learnRefusal(bearerOf(access, token), BAD_TOKEN, now());
    expect(access.refusalOf(bearerOf(access, token))).toBe('token-refused');
    await clock.advance(1);
    accepts({ access }, token, now());
    expect(access.refusalOf(bearerOf(access, token))).toBeUndefined();
    expect(await sees(access, token)).toEqual(yes);
  });

  it('ends when it says so', async () => {
    access.learnUpload(APP, FILE, undefined, now());
    const short = agoraToken({ lasts: 10 });
    expect(await sees(access, short)).toEqual(yes);
    await clock.advance(9000);
    expect((await sees(access, short)).allowed).toBe(false);
  });

  it("of an app is known as an app's: what it is served proves nothing for others", () => {
    const bearer = bearerOf(access, agoraToken({ services: [chat(2)] }));
    access.learnAnswer(bearer, 'f2', 'anything', now());
    accepts({ access }, 'bob', now());
    expect(access.maySee(bearerOf(access, 'bob'), { file: 'f2', secret: 'anything' })).toEqual(no('no-proof'));
    const user = bearerOf(access, token);
    access.learnAnswer(user, 'f3', undefined, now());
    expect(access.maySee(bearerOf(access, 'bob'), { file: 'f3', secret: undefined })).toEqual(yes);
  });
});

describe('a reader without a token', () => {
  const ASKED = { file: FILE, secret: 's' };
  const nobody = (asked = ASKED, app = APP) => access.identifyNobody(app, asked);
  const look = (asked = ASKED, app = APP) => access.maySee(nobody(asked, app), asked);

  it('sees what such a reader was served with the same secret, and nothing else', async () => {
    access.learnAnswer(nobody(), FILE, 's', now());
    expect(look()).toEqual(yes);
    for (const other of [
      { file: FILE, secret: 'S' },
      { file: 'f2', secret: 's' },
    ]) {
      expect(look(other)).toEqual(no('no-grant'));
    }
    expect(look(ASKED, 'o/b')).toEqual(no('no-grant'));
    await clock.advance(WINDOW);
    expect(access.maySee(nobody(), ASKED, true)).toEqual(no('no-grant'));
  });

  it('has nothing of what tokens have shown, and shows them nothing', () => {
    open(access);
    access.learnAnswer(bearerOf(access, 't', { kind: 'user' }), FILE, 's', now());
    expect(look()).toEqual(no('no-grant'));
    access.learnAnswer(nobody({ file: 'f2', secret: 's' }), 'f2', 's', now());
    const seen = access.maySee(bearerOf(access, 't', { kind: 'user' }), { file: 'f2', secret: 's' });
    expect(seen).toEqual(no('no-proof'));
  });

  it('that was refused sees nothing, and the refusal is said of nobody else', () => {
    open(access);
    accepts({ access }, 't', now());
    for (const status of [401, 403, 404]) {
      access.learnAnswer(nobody(), FILE, 's', now() - 1);
      access.learnRefusal(nobody(), { status, error: 'entity_not_found' }, now(), ASKED);
      expect(look().allowed).toBe(false);
    }
    expect(access.maySee(bearerOf(access, 't'), { file: FILE, secret: undefined })).toEqual(yes);
  });

  it('is in one group with those who ask the very same, and never with those of an open file', () => {
    open(access);
    expect(access.groupOf(nobody(), ASKED)).toBe(access.groupOf(nobody(), ASKED));
    expect(access.groupOf(nobody(), ASKED)).not.toBe(access.groupOf(nobody({ file: FILE, secret: 'x' }), ASKED));
    expect(access.groupOf(nobody(), ASKED)).not.toBe('open');
    expect(access.isProven(APP, '')).toBe(false);
  });
});
