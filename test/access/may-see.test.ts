import { describe, expect, it } from 'vitest';
import {
  type FileFacts,
  grantOf,
  maySee,
  type Moment,
  NEVER,
  type TokenFacts,
  type Windows,
} from '../../src/access/may-see.ts';

const NOW = 10_000_000;
const WINDOW = 300_000;
const GRACE = 60_000;
const WALL = 1_700_000_000_000;

const windows: Windows = { grantMs: WINDOW, graceMs: GRACE };
const moment: Moment = { monotonic: NOW, now: WALL, isUpstreamDown: false };
const down: Moment = { ...moment, isUpstreamDown: true };
const unknownToken: TokenFacts = {
  isTokenless: false,
  acceptedAt: NEVER,
  verifiedAt: NEVER,
  refusedAt: NEVER,
  endsAt: Infinity,
};
const unknownFile: FileFacts = { isOpen: false, isSecretProven: false, shownAt: NEVER };
const ago = (ms: number) => NOW - ms;

/** Ages that matter: just now, the edges of window and grace, long past, in the future, and never. */
const AGES = [0, 1, WINDOW - 1, WINDOW, WINDOW + GRACE - 1, WINDOW + GRACE, 10 * WINDOW, -1, Infinity];

describe('who may see a stored file', () => {
  it.each([
    ['an accepted token, an open file', { acceptedAt: ago(1) }, { isOpen: true }, true],
    ['an accepted token, the proven secret', { acceptedAt: ago(1) }, { isSecretProven: true }, true],
    ['an accepted token that was shown the file itself', { acceptedAt: ago(1) }, { shownAt: ago(1) }, true],
    ['a token that proves itself, an open file', { verifiedAt: ago(1) }, { isOpen: true }, true],
    ['an accepted token and no proof for the file', { acceptedAt: ago(1) }, {}, 'no-proof'],
    ['a token that was shown the file too long ago', { acceptedAt: ago(1) }, { shownAt: ago(WINDOW) }, 'no-proof'],
    ['nobody knows the token', {}, { isOpen: true, isSecretProven: true, shownAt: ago(1) }, 'no-grant'],
    ['accepted too long ago', { acceptedAt: ago(WINDOW) }, { isOpen: true }, 'no-grant'],
    ['accepted in the future', { acceptedAt: ago(-1) }, { isOpen: true }, 'no-grant'],
    ['refused after it was accepted', { acceptedAt: ago(2), refusedAt: ago(1) }, { isOpen: true }, 'token-refused'],
    ['refused and accepted at once', { acceptedAt: ago(1), refusedAt: ago(1) }, { isOpen: true }, 'token-refused'],
    ['accepted after it was refused', { acceptedAt: ago(1), refusedAt: ago(2) }, { isOpen: true }, true],
    ['refused once, and never accepted', { refusedAt: ago(10 * WINDOW) }, { isOpen: true }, 'token-refused'],
    [
      'shown the file before it was refused, accepted for another since',
      { acceptedAt: ago(1), refusedAt: ago(2) },
      { shownAt: ago(3) },
      'no-proof',
    ],
    [
      'nobody, an open file with a proven secret',
      { isTokenless: true, acceptedAt: ago(1) },
      { isOpen: true, isSecretProven: true },
      'no-proof',
    ],
    ['nobody, who was shown the file', { isTokenless: true, acceptedAt: ago(1) }, { shownAt: ago(1) }, true],
    ['nobody, who was not accepted', { isTokenless: true }, { isOpen: true, shownAt: ago(1) }, 'no-grant'],
    ['ended a moment ago', { acceptedAt: ago(1), endsAt: WALL }, { isOpen: true }, 'token-ended'],
    ['ends in a moment', { acceptedAt: ago(1), endsAt: WALL + 1 }, { isOpen: true }, true],
  ] as const)('%s', (_case, token, file, expected) => {
    const sight = maySee({ ...unknownToken, ...token }, { ...unknownFile, ...file }, windows, moment);
    expect(sight).toEqual(
      expected === true ? { allowed: true, usedGrace: false } : { allowed: false, reason: expected },
    );
  });

  it('is decided as the rule says, for every combination', () => {
    // The rule once more, in other words: lists of what must hold, rather than steps.
    let seen = 0;
    const shownAfter = (age: number) => (age === Infinity ? NEVER : ago(age));
    for (const acceptedAge of AGES) {
      for (const verifiedAge of AGES) {
        for (const refusedAge of AGES) {
          for (const shownAge of AGES) {
            for (const bits of Array(32).keys()) {
              const [isOpen, isSecretProven, isUpstreamDown, hasEnded, isTokenless = false] = [1, 2, 4, 8, 16].map(
                (bit) => (bits & bit) > 0,
              );
              const token: TokenFacts = {
                isTokenless,
                acceptedAt: shownAfter(acceptedAge),
                verifiedAt: shownAfter(verifiedAge),
                refusedAt: shownAfter(refusedAge),
                endsAt: hasEnded ? WALL - 1 : Infinity,
              };
              const file = {
                isOpen: isOpen === true,
                isSecretProven: isSecretProven === true,
                shownAt: shownAfter(shownAge),
              };
              const sight = maySee(token, file, windows, { ...moment, isUpstreamDown: isUpstreamDown === true });
              const longest = isUpstreamDown && !isTokenless ? WINDOW + GRACE : WINDOW;
              const accepted = acceptedAge >= 0 && acceptedAge < longest && acceptedAge < refusedAge;
              const verified = verifiedAge >= 0 && verifiedAge < WINDOW && verifiedAge < refusedAge;
              const shown = shownAge >= 0 && shownAge < longest && shownAge < refusedAge;
              const may =
                !hasEnded &&
                (accepted || verified) &&
                (shown || (!isTokenless && (file.isOpen || file.isSecretProven)));
              seen += 1;
              if (sight.allowed !== may) expect({ token, file, isUpstreamDown, sight }).toEqual(may);
              if (!sight.allowed) continue;
              const byWindow =
                ((accepted && acceptedAge < WINDOW) || verified) &&
                (file.isOpen || file.isSecretProven || shownAge < WINDOW);
              if (sight.usedGrace === byWindow) expect({ token, file, sight }).toEqual(byWindow);
            }
          }
        }
      }
    }
    expect(seen).toBe(AGES.length ** 4 * 32);
  });

  it.each([
    ['in the grace, and says so', WINDOW, { allowed: true, usedGrace: true }],
    ['in the window, without the grace', WINDOW - 1, { allowed: true, usedGrace: false }],
    ['after the grace no more', WINDOW + GRACE, { allowed: false, reason: 'no-grant' }],
  ])('while the upstream is down, is shown %s', (_case, age, expected) => {
    expect(maySee({ ...unknownToken, acceptedAt: ago(age) }, { ...unknownFile, isOpen: true }, windows, down)).toEqual(
      expected,
    );
  });

  it('has no grace for a token that only proved itself', () => {
    expect(grantOf({ ...unknownToken, verifiedAt: ago(WINDOW) }, windows, down).allowed).toBe(false);
  });

  it('has no grace for readers without a token', () => {
    const nobody = { ...unknownToken, isTokenless: true, acceptedAt: ago(WINDOW) };
    expect(maySee(nobody, { ...unknownFile, shownAt: ago(WINDOW) }, windows, down).allowed).toBe(false);
    const justNow = { ...nobody, acceptedAt: ago(0) };
    expect(maySee(justNow, { ...unknownFile, shownAt: ago(WINDOW) }, windows, down).allowed).toBe(false);
  });

  it('has neither window nor grace where the window is nothing', () => {
    const none = { grantMs: 0, graceMs: GRACE };
    expect(grantOf({ ...unknownToken, acceptedAt: NOW, verifiedAt: NOW }, none, down).allowed).toBe(false);
  });
});
