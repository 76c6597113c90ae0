import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** Tokens that the upstream has accepted for an app lately, as this process has seen itself. */
export type ProvenTokens = {
  isProven: (app: string, token: string) => boolean;
  /** What a bearer is called where its token must not be. */
  nameOf: (app: string, token: string) => string;
  /** The upstream gave this bearer a file, or took one; tells whether that was news. */
  accept(app: string, token: string): boolean;
  /** The upstream refused the token. */
  withdraw(app: string, token: string): void;
};

/** How long an acceptance counts, and how many are remembered: about 100 bytes each. */
export type ProvenConfig = { grantSeconds: number; max?: number };

/** Remembers acceptances by salted digests, so that no token lies in memory for longer than its request. */
export function createProvenTokens({ grantSeconds, max = 50_000 }: ProvenConfig): ProvenTokens {
  const accepted = new LRUCache<string, true>({ max, ttl: grantSeconds * 1000 });
  const salt = randomBytes(32).toString('base64');
  const digest = (app: string, token: string) => hash('sha256', JSON.stringify([salt, app, token]), 'base64');
  return {
    isProven: (app, token) => accepted.has(digest(app, token)),
    nameOf: digest,
    accept(app, token) {
      const name = digest(app, token);
      const isNews = !accepted.has(name);
      accepted.set(name, true);
      return isNews;
    },
    withdraw: (app, token) => void accepted.delete(digest(app, token)),
  };
}
