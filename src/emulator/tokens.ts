import { randomBytes } from 'node:crypto';
import { readToken, sealToken } from './token-layout.ts';
import type { TokenLayout } from './token-layout.ts';
import { timeUuid, uuidBytes } from './time-uuid.ts';

/** Whom a token speaks for: a user of an app, or the app itself. */
export type Principal = { kind: 'user' | 'app'; org: string; app: string; application: string; uuid: string };

/** What the cloud makes of a token: whom it speaks for, or why not. */
export type TokenVerdict =
  | { ok: true; principal: Principal }
  | { ok: false; reason: 'malformed' | 'foreign' | 'expired' | 'unknown' };

/** What may be chosen for one token. */
export type IssueOptions = { ttlSeconds?: number | undefined; layout?: TokenLayout | undefined };

/** The tokens that were issued and still hold. */
export type Tokens = {
  issue(principal: Principal, options?: IssueOptions): { token: string; expiresInSeconds: number };
  verify(token: string, org: string, app: string): TokenVerdict;
  /** True when the token was one that held. */
  revoke(token: string): boolean;
  readonly count: number;
};

// Logging in costs a client nothing; without a bound it could fill the memory. The oldest are forgotten first.
const MAX_TOKENS = 100_000;

/** Opens the book of tokens; its salt is made now, so tokens of an earlier run are foreign. */
export function createTokens(
  defaults: { ttlSeconds: number; layout: TokenLayout },
  now: () => number,
  maxTokens = MAX_TOKENS,
): Tokens {
  const salt = randomBytes(16).toString('hex');
  const principals = new Map<string, Principal>();

  return {
    issue(principal, { ttlSeconds = defaults.ttlSeconds, layout = defaults.layout } = {}) {
      const id = timeUuid(now());
      const expiresAt = now() + ttlSeconds * 1000;
      // A token that is over from the start (a lifetime of 0 or less) was issued a default lifetime before its end.
      const issuedAt = ttlSeconds > 0 ? now() : expiresAt - Math.max(1, defaults.ttlSeconds) * 1000;
      const application = uuidBytes(principal.application);
      const claims = {
        id,
        issuedAt,
        expiresAt,
        application,
        principal: uuidBytes(principal.uuid),
        kind: principal.kind,
      };
      principals.set(id.toString('hex'), principal);
      const [oldest] = principals.keys();
      if (principals.size > maxTokens && oldest !== undefined) principals.delete(oldest);
      return { token: sealToken(claims, layout, salt), expiresInSeconds: ttlSeconds };
    },

    /** In Usergrid's order: the signature, then the expiry, then the store. */
    verify(token, org, app) {
      const reading = readToken(token, salt);
      if (reading.kind !== 'ours') return { ok: false, reason: reading.kind };
      if (reading.expiresAt <= now()) return { ok: false, reason: 'expired' };
      const principal = principals.get(reading.id);
      if (principal === undefined) return { ok: false, reason: 'unknown' };
      if (principal.org !== org || principal.app !== app) return { ok: false, reason: 'foreign' };
      return { ok: true, principal };
    },

    revoke(token) {
      const reading = readToken(token, salt);
      return reading.kind === 'ours' && principals.delete(reading.id);
    },

    get count() {
      return principals.size;
    },
  };
}
