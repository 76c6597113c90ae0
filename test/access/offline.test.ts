import { randomBytes } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createVerifier } from '../../src/access/offline/verify.ts';
import { AGORA, agoraToken, chat, EASEMOB, easemobToken } from './tokens-kit.ts';

const ISSUED = 1_700_000_000_000;
const AT = ISSUED + 1000;
const { app: _app, ...otherKeys } = { ...AGORA, appId: '0'.repeat(32), certificate: '1'.repeat(32) };
const verify = createVerifier({ agora: [{ ...AGORA, ...otherKeys }, AGORA], easemob: [EASEMOB] }) ?? (() => undefined);

/** Made by Agora's own package, agora-token 2.0.6, with the keys of these tests, for an hour from 1700000000. */
const OFFICIAL = {
  user: '007eJxTYFAKm5B8f9fzV81TQxez21bc+/xD76NBo/LM3t0bfFIXzD2pwGBpbuDsaGyakmpmkGxiYmZimpSUmGqRaGRoamBmmGRszPAxOFWAj4HBL3EPAyMDKwMjAyMDiM/KkJiTmZwKAJGbH4A=',
  app: '007eJxTYDCpVI61U3gY8Xnd0x2f9h40ZHrU05+qfIL32/cN6oa/j9xRYLA0N3B2NDZNSTUzSDYxMTMxTUpKTLVINDI0NTAzTDI2ZvgYnCrAx8Dgl7iHgZGBlYGRgYkBxGdgAADgJB1o',
  // RTC, RTM, streaming and FPA before the chat.
  all: '007eJxTYLhsNzshzSfc2U67eHP9z+XTdGIqJ4RZ123p5tFa2rbht4wCg6W5gbOjsWlKqplBsomJmYlpUlJiqkWikaGpgZlhkrExw8fgVAE+Bga/xD0MrAyMDEwMjAwRTAwMTGCShaEoPz+XkcEcJAyRYGVIzMlMTmVmYGBgZEhkZEhiAUuxMjCA9TMygEyDKgIAH/ciaQ==',
  rtc: '007eJxTYIiw5Fylfd41YHpbh8v7AxNNs+I7F9oZN12X+Hrl1fvJj/YoMFiaGzg7GpumpJoZJJuYmJmYJiUlplokGhmaGpgZJhkbM3wMThXgY2DwS9zDwMjAyMDEwMgQwcTAwAQmWRiK8vNzGRnMASEMHz8=',
};

/** A token whose claims were changed after it was signed. */
const forged = (token: string, change: (bytes: Buffer) => void): string => {
  const text = Buffer.from(token, 'base64url').toString();
  const bytes = Buffer.from(text);
  change(bytes);
  return bytes.toString('base64url');
};

describe('a token of Agora', () => {
  it.each([
    ['a user', OFFICIAL.user, 'user'],
    ['an app', OFFICIAL.app, 'app'],
    ['a user, with other services before the chat', OFFICIAL.all, 'user'],
  ])('of %s is believed as its own package makes it', (_case, token, kind) => {
    expect(verify('o/a', token, AT)).toMatchObject({ kind, endsAt: ISSUED + 3_600_000 });
  });

  it('is made the same by these tests', () => {
    expect(agoraToken()).toBe(OFFICIAL.user);
  });

  it('is believed until its own end, or that of its privilege, and from its issue on', () => {
    expect(verify('o/a', agoraToken(), ISSUED + 3_599_999)).toBeDefined();
    expect(verify('o/a', agoraToken(), ISSUED + 3_600_000)).toBeUndefined();
    const early = agoraToken({ services: [chat(1, 600)] });
    expect(verify('o/a', early, AT)?.endsAt).toBe(ISSUED + 600_000);
    expect(verify('o/a', agoraToken(), ISSUED - 60_000)).toBeDefined();
    expect(verify('o/a', agoraToken(), ISSUED - 60_001)).toBeUndefined();
  });

  it('that may do both speaks for the app', () => {
    const both = agoraToken({ services: [{ type: 5, privileges: { 1: 3600, 2: 60 }, texts: ['alice'] }] });
    expect(verify('o/a', both, AT)).toMatchObject({ kind: 'app', endsAt: ISSUED + 60_000 });
  });

  it('has one name however its text is written', () => {
    const texts = [agoraToken(), agoraToken({ level: 0 }), agoraToken({ level: 9 }), `${agoraToken()}====`];
    expect(new Set(texts).size).toBe(4);
    expect(new Set(texts.map((text) => verify('o/a', text, AT)?.signature)).size).toBe(1);
  });

  it.each([
    ['is for another app', 'o/b', agoraToken()],
    ['is of another project', 'o/a', agoraToken({ appId: 'a'.repeat(32) })],
    ['is signed with another certificate', 'o/a', agoraToken({ certificate: 'a'.repeat(32) })],
    ['is for calls alone', 'o/a', OFFICIAL.rtc],
    ['is for a service that nobody knows', 'o/a', agoraToken({ services: [{ type: 99 }, chat()] })],
    ['has no service', 'o/a', agoraToken({ services: [] })],
    ['has no privilege', 'o/a', agoraToken({ services: [{ type: 5, texts: ['alice'] }] })],
    ['has another privilege', 'o/a', agoraToken({ services: [chat(3)] })],
    ['lasts no time', 'o/a', agoraToken({ lasts: 0 })],
    ['has a privilege that lasts no time', 'o/a', agoraToken({ services: [chat(1, 0)] })],
    ['is of another version', 'o/a', agoraToken().replace('007', '006')],
    ['is nothing', 'o/a', '007'],
    ['is not deflated', 'o/a', `007${randomBytes(100).toString('base64')}`],
    ['is cut short', 'o/a', agoraToken().slice(0, 80)],
    ['claims more text than there is', 'o/a', `007${deflateSync(Buffer.from([255, 255, 1])).toString('base64')}`],
    ['is empty inside', 'o/a', `007${deflateSync(Buffer.alloc(0)).toString('base64')}`],
  ])('that %s is not believed', (_case, app, token) => {
    expect(verify(app, token, AT)).toBeUndefined();
  });

  it('that inflates to megabytes is given up at once', () => {
    const bomb = `007${deflateSync(Buffer.alloc(3_000_000)).toString('base64')}`;
    expect(bomb.length).toBeLessThan(4096);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 100; i += 1) expect(verify('o/a', bomb, AT)).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 100_000);
  });
});

describe('a dynamic token of Easemob', () => {
  it('is believed from its issue to its end, for a user', () => {
    expect(verify('o/a', easemobToken(), AT)).toMatchObject({ kind: 'user', endsAt: ISSUED + 600_000 });
    expect(verify('o/a', easemobToken(), ISSUED + 599_999)).toBeDefined();
    expect(verify('o/a', easemobToken(), ISSUED + 600_000)).toBeUndefined();
    expect(verify('o/a', easemobToken(), ISSUED - 60_001)).toBeUndefined();
  });

  it('has one name however its text is written', () => {
    const reordered = (claims: object) => JSON.stringify(Object.fromEntries(Object.entries(claims).toReversed()));
    const spaced = (claims: object) => JSON.stringify(claims, null, 2);
    const plain = easemobToken();
    const capitals = easemobToken({}, (claims) =>
      JSON.stringify(claims).replace(/[0-9a-f]{64}/, (digits) => digits.toUpperCase()),
    );
    const texts = [plain, easemobToken({}, reordered), easemobToken({}, spaced), `${plain}==`, capitals];
    expect(new Set(texts).size).toBe(5);
    const names = texts.map((text) => verify('o/a', text, AT)?.signature);
    expect(names[0]).toMatch(/^easemob [0-9a-f]{64}$/);
    expect(new Set(names).size).toBe(1);
  });

  it.each([
    ['is for another app', 'o/b', easemobToken()],
    ['names another app', 'o/a', easemobToken({ appkey: 'o#b' })],
    ['is signed with another secret', 'o/a', easemobToken({ clientSecret: 'x' })],
    ['is signed by another client', 'o/a', easemobToken({ clientId: 'x' })],
    ['has a signature that is none', 'o/a', easemobToken({ signature: 'x'.repeat(64) })],
    ['has a short signature', 'o/a', easemobToken({ signature: 'ab' })],
    ['has no signature', 'o/a', easemobToken({ signature: null })],
    ['has nobody', 'o/a', easemobToken({ userId: '' })],
    ['has a number for a name', 'o/a', easemobToken({ userId: 7 })],
    ['has a text for a time', 'o/a', easemobToken({ curTime: '1700000000' })],
    ['has a fraction for a time', 'o/a', easemobToken({ curTime: 1_700_000_000.5 })],
    ['never ends', 'o/a', easemobToken({ ttl: 1e300 })],
    ['lasts no time', 'o/a', easemobToken({ ttl: 0 })],
    ['ended before it began', 'o/a', easemobToken({ ttl: -600 })],
    ['was changed', 'o/a', forged(easemobToken(), (bytes) => bytes.write('bobby', bytes.indexOf('alice')))],
    ['is JSON of another kind', 'o/a', Buffer.from('dt-null').toString('base64url')],
    ['is a list', 'o/a', Buffer.from('dt-[]').toString('base64url')],
    ['is not JSON', 'o/a', Buffer.from('dt-{"signature":').toString('base64url')],
    ['is nothing', 'o/a', 'ZHQt'],
    ['is of another kind', 'o/a', `YWMt${easemobToken().slice(4)}`],
  ])('that %s is not believed', (_case, app, token) => {
    expect(verify(app, token, AT)).toBeUndefined();
  });
});

it('whatever is presented, nothing is thrown and nothing is believed', () => {
  const flipped = fc
    .tuple(fc.constantFrom(agoraToken(), easemobToken()), fc.nat(), fc.base64String())
    .map(([token, at, text]) => token.slice(0, at % token.length) + text + token.slice((at % token.length) + 1));
  fc.assert(
    fc.property(
      fc.oneof(
        flipped,
        fc.base64String().map((text) => `007${text}`),
        fc.string(),
      ),
      (token) => {
        const proof = verify('o/a', token, AT);
        // What happens to be written in another way proves the same.
        if (proof) expect([agoraToken(), easemobToken()].map((own) => verify('o/a', own, AT))).toContainEqual(proof);
      },
    ),
    { numRuns: 500 },
  );
});

it('nothing is verified where no keys are configured', () => {
  expect(createVerifier({ agora: [], easemob: [] })).toBeUndefined();
});
