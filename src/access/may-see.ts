/**
 * The rule: who may be shown the bytes of a stored file. Everything else in this room feeds this function, and nothing
 * else decides.
 *
 * A byte of a file goes only to
 *   (a) a token that the upstream accepted for this app, or issued for it, by a request that was sent less than the grant window ago and
 *       after every request for which it refused the token, and whose own end has not come; or a token that proves
 *       itself by a signature, in the one window after it was first seen;
 *   (b) and, unless the file is known to be open, with a share-secret that the upstream accepted for this very file, or
 *       to a token that was itself served this file with the same secret, or without one, less than the window ago.
 *
 * Where readers without a token are let in at all, they stand under the same rule, and it is stricter for them: what they
 * are told of (a) is what the upstream said to readers without a token who asked for this very file with this very
 * secret; of (b), only that such a one was itself served counts, and nothing that holders of tokens have shown. There is
 * no grace.
 *
 * All times are ms of this process's clock that never goes back; `NEVER` for what has not happened. They are the times at
 * which the requests were *sent*, not those of the answers: what the upstream takes back in between is taken back. Where
 * a time had to be guessed, an acceptance was guessed earlier than it was, and a refusal later.
 */

/** The time of what has not happened: infinitely long ago. */
export const NEVER = -Infinity;

/** What the upstream has said of a token, for one app; or of readers without one, for one file and one secret. */
export type TokenFacts = {
  isTokenless: boolean;
  /** Sent: the latest request that the upstream answered with a whole file. */
  acceptedAt: number;
  /** First seen: a token that proves itself. */
  verifiedAt: number;
  /** Sent: the latest request that the upstream refused because of the token. */
  refusedAt: number;
  /** When the token ends by what itself says, in ms since the epoch; Infinity where it says nothing. */
  endsAt: number;
};

/** What the upstream has said of a file, as far as it concerns one token and one share-secret (or none). */
export type FileFacts = {
  /** Known to be open: anybody whose token is accepted may see it. */
  isOpen: boolean;
  /** The upstream accepted the same secret for this very file. */
  isSecretProven: boolean;
  /** Sent: the latest request by which this token was itself served this file with the same secret, or without one. */
  shownAt: number;
};

/** How long the upstream's word is believed, and how much longer while it cannot be asked. */
export type Windows = { grantMs: number; graceMs: number };

/** When it is asked: by the clock that never goes back, and since the epoch; and whether the upstream is down. */
export type Moment = { monotonic: number; now: number; isUpstreamDown: boolean };

/** Whether the bytes may be shown. `usedGrace`: only because the upstream cannot be asked. */
export type Sight = { allowed: true; usedGrace: boolean } | { allowed: false; reason: Unseen };

/** Why bytes may not be shown without asking the upstream. */
export type Unseen = 'token-ended' | 'token-refused' | 'no-grant' | 'no-proof';

/** The rule. */
export function maySee(token: TokenFacts, file: FileFacts, windows: Windows, moment: Moment): Sight {
  const grant = grantOf(token, windows, moment);
  if (!grant.allowed) return grant;
  if (!token.isTokenless && (file.isOpen || file.isSecretProven)) return grant;
  const shown = within(file.shownAt, windows, moment);
  if (shown === 'no' || (shown === 'grace' && token.isTokenless) || file.shownAt <= token.refusedAt)
    return { allowed: false, reason: 'no-proof' };
  return { allowed: true, usedGrace: grant.usedGrace || shown === 'grace' };
}

/** Part (a) of the rule alone: whether the token is one that is believed, for whatever file. */
export function grantOf(token: TokenFacts, windows: Windows, moment: Moment): Sight {
  const { acceptedAt, verifiedAt, refusedAt, endsAt } = token;
  if (moment.now >= endsAt) return { allowed: false, reason: 'token-ended' };
  const isRefused = refusedAt > NEVER && refusedAt >= Math.max(acceptedAt, verifiedAt);
  if (isRefused) return { allowed: false, reason: 'token-refused' };
  // Each by itself: a first sight from after a refusal must not give new life to an acceptance from before it.
  const accepted = acceptedAt > refusedAt ? within(acceptedAt, windows, moment) : 'no';
  const verified = verifiedAt > refusedAt ? within(verifiedAt, windows, moment) : 'no';
  if (accepted === 'window' || verified === 'window') return { allowed: true, usedGrace: false };
  // What only proved itself has the one window, and no grace.
  return accepted === 'grace' && !token.isTokenless
    ? { allowed: true, usedGrace: true }
    : { allowed: false, reason: 'no-grant' };
}

/** Whether a time lies in the window that ends now, or before it in the grace. Without a window there is no grace. */
function within(
  at: number,
  { grantMs, graceMs }: Windows,
  { monotonic, isUpstreamDown }: Moment,
): 'window' | 'grace' | 'no' {
  const age = monotonic - at;
  if (age < 0 || grantMs === 0) return 'no';
  if (age < grantMs) return 'window';
  return isUpstreamDown && age < grantMs + graceMs ? 'grace' : 'no';
}
