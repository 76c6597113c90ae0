/** Whom a token speaks for. */
export type TokenKind = 'user' | 'app' | 'admin' | 'unknown';

/** A token as a request brings it, for one app; made once a request, by `identify`. */
export type Bearer = {
  app: string;
  /** The token itself. It stays with the request: only `key` is remembered. */
  token: string;
  key: string;
  /** What the token's own text says; Infinity where it says nothing of an end, in ms since the epoch. */
  kind: TokenKind;
  endsAt: number;
};
