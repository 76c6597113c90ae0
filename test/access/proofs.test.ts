import { beforeEach, describe, expect, it } from 'vitest';
import { createDigests } from '../../src/access/digest.ts';
import { NEVER } from '../../src/access/may-see.ts';
import { createProofs, type Proofs, type Served } from '../../src/access/proofs.ts';
import { createFakeClock, type FakeClock } from '../kit/fake-clock.ts';

const LIFETIME = 1_000_000;
const FILE = { app: 'o/a', file: 'f1' };
const nothing = { isOpen: false, isSecretProven: false, shownAt: NEVER };

let clock: FakeClock;
let proofs: Proofs;
beforeEach(() => {
  clock = createFakeClock();
  proofs = createProofs({ lifetimeMs: LIFETIME }, createDigests(), clock);
});

const learn = (served: Partial<Served>) =>
  proofs.learn({
    ...FILE,
    tokenKey: 'alice',
    kind: 'user',
    secretSent: undefined,
    sentAt: clock.monotonic(),
    ...served,
  });
const bob = (secret?: string, file = FILE) => proofs.factsOf(file, 'bob', secret);

describe('what an answer shows', () => {
  it.each([
    ['a user with a secret', 'user', 's', { secret: true, open: false }],
    ['an unknown token with a secret', 'unknown', 's', { secret: true, open: false }],
    ['an app with a secret', 'app', 's', { secret: false, open: false }],
    ['an admin with a secret', 'admin', 's', { secret: false, open: false }],
    ['a user without one', 'user', undefined, { secret: false, open: true }],
    ['a user with an empty one', 'user', '', { secret: false, open: true }],
    ['an unknown token without one', 'unknown', undefined, { secret: false, open: false }],
    ['an app without one', 'app', undefined, { secret: false, open: false }],
    ['an admin without one', 'admin', undefined, { secret: false, open: false }],
    ['a reader without a token, with a secret', 'nobody', 's', { secret: false, open: false }],
  ] as const)('%s: to others, and always to the token itself', (_case, kind, secretSent, shows) => {
    learn({ kind, secretSent });
    expect(bob('s')).toEqual({ isOpen: shows.open, isSecretProven: shows.secret, shownAt: NEVER });
    expect(proofs.factsOf(FILE, 'alice', secretSent).shownAt).toBe(clock.monotonic());
  });

  it('holds for exactly this file of this app, and for exactly this secret', () => {
    learn({ secretSent: 'secret' });
    expect(bob('secret').isSecretProven).toBe(true);
    for (const other of ['Secret', 'secret ', 'secre', '', undefined]) expect(bob(other)).toEqual(nothing);
    expect(bob('secret', { app: 'o/a', file: 'f2' })).toEqual(nothing);
    expect(bob('secret', { app: 'o/b', file: 'f1' })).toEqual(nothing);
    expect(bob('secret', { app: 'o', file: 'a/f1' })).toEqual(nothing);
    expect(proofs.factsOf(FILE, 'alice', 'another').shownAt).toBe(NEVER);
    expect(proofs.factsOf(FILE, 'alice', undefined).shownAt).toBe(NEVER);
  });

  it('is forgotten with the lifetime of what is stored', async () => {
    learn({ secretSent: 's' });
    learn({ file: 'f2' });
    await clock.advance(LIFETIME - 1);
    expect([bob('s').isSecretProven, bob(undefined, { app: 'o/a', file: 'f2' }).isOpen]).toEqual([true, true]);
    await clock.advance(1);
    expect([bob('s').isSecretProven, bob(undefined, { app: 'o/a', file: 'f2' }).isOpen]).toEqual([false, false]);
  });

  it('is at most a few secrets of a file, the latest', () => {
    for (const secretSent of ['1', '2', '3', '4', '5']) learn({ secretSent });
    expect(['1', '2', '3', '4', '5'].map((secret) => bob(secret).isSecretProven)).toEqual([
      false,
      true,
      true,
      true,
      true,
    ]);
  });

  it('is bounded in number', () => {
    const small = createProofs({ lifetimeMs: LIFETIME, maxFiles: 10, maxShown: 20 }, createDigests(), clock);
    for (let i = 0; i < 100; i += 1) {
      small.learn({ app: 'o/a', file: `${i}`, tokenKey: 't', kind: 'user', secretSent: undefined, sentAt: 1 });
    }
    expect(small.sizes).toEqual({ files: 10, shown: 20 });
  });
});

describe('an upload', () => {
  it('without a secret in its answer is known open', () => {
    proofs.learnUpload(FILE, undefined, clock.monotonic());
    expect(bob()).toEqual({ ...nothing, isOpen: true });
  });

  it('with one shows nothing: the upstream has accepted nothing yet', () => {
    proofs.learnUpload(FILE, 's', clock.monotonic());
    expect([bob('s'), bob()]).toEqual([nothing, nothing]);
  });
});

describe('a refusal for a file', () => {
  it('takes the proof of this secret away, for whoever has shown it, and no other', () => {
    learn({ secretSent: 'good' });
    learn({ secretSent: 'bad' });
    proofs.refuse(FILE, 'bad', clock.monotonic());
    expect([bob('good').isSecretProven, bob('bad').isSecretProven]).toEqual([true, false]);
    expect(proofs.factsOf(FILE, 'alice', 'bad').shownAt).toBe(NEVER);
    expect(proofs.factsOf(FILE, 'alice', 'good').shownAt).toBe(clock.monotonic());
  });

  it.each([undefined, 'wrong'])('ends that the file is known open (with %s)', (secret) => {
    proofs.learnUpload(FILE, undefined, clock.monotonic());
    proofs.refuse(FILE, secret, clock.monotonic());
    expect(bob().isOpen).toBe(false);
  });

  it('beats answers to earlier requests that come in later, and not those to later ones', () => {
    proofs.refuse(FILE, 's', 100);
    learn({ secretSent: 's', sentAt: 99 });
    expect([bob('s'), proofs.factsOf(FILE, 'alice', 's')]).toEqual([nothing, nothing]);
    proofs.refuse(FILE, undefined, 100);
    learn({ sentAt: 99 });
    expect(bob()).toEqual(nothing);
    learn({ secretSent: 's', sentAt: clock.monotonic() });
    learn({ sentAt: clock.monotonic() });
    expect(bob('s')).toMatchObject({ isSecretProven: true, isOpen: true });
  });

  it('that was sent before an acceptance takes nothing away', () => {
    learn({ secretSent: 's', sentAt: 100 });
    proofs.refuse(FILE, 's', 99);
    expect(bob('s').isSecretProven).toBe(true);
  });

  it('of a reader without a token is said of such readers alone', () => {
    learn({ secretSent: 's' });
    learn({ tokenKey: 'nobody', kind: 'nobody', secretSent: 's' });
    proofs.learnUpload(FILE, undefined, clock.monotonic());
    proofs.refuseNobody('nobody', clock.monotonic());
    expect(proofs.factsOf(FILE, 'nobody', 's').shownAt).toBe(NEVER);
    expect(proofs.factsOf(FILE, 'alice', 's').shownAt).toBe(clock.monotonic());
    expect(bob('s')).toMatchObject({ isSecretProven: true, isOpen: true });
  });

  it('of such a reader beats the answers to earlier requests that come in later', () => {
    proofs.refuseNobody('nobody', 100);
    learn({ tokenKey: 'nobody', kind: 'nobody', secretSent: 's', sentAt: 100 });
    expect(proofs.factsOf(FILE, 'nobody', 's').shownAt).toBe(NEVER);
    learn({ tokenKey: 'nobody', kind: 'nobody', secretSent: 's', sentAt: 101 });
    expect(proofs.factsOf(FILE, 'nobody', 's').shownAt).toBe(101);
  });

  it('does not take away the proofs of other files, however many there are', () => {
    learn({ secretSent: 's' });
    for (let i = 0; i < 11_000; i += 1)
      proofs.refuse({ app: 'o/a', file: `x${i % 7}` }, `wrong${i}`, clock.monotonic());
    expect(bob('s').isSecretProven).toBe(true);
  });
});

it('a file that is gone is forgotten', () => {
  learn({ secretSent: 's' });
  proofs.learnUpload(FILE, undefined, clock.monotonic());
  proofs.forget(FILE);
  expect(bob('s')).toEqual(nothing);
});
