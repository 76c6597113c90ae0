/** Whom a token speaks for. */
export type TokenKind = 'user' | 'app' | 'admin' | 'unknown';

/** The same of a bearer, who may have no token at all: then it is nobody. */
export type BearerKind = TokenKind | 'nobody';

/** A token as a request brings it, for one app, or the lack of one; made once a request. */
export type Bearer = {
  app: string;
  /** The token itself, empty where there is none. It stays with the request: only `key` is remembered. */
  token: string;
  /** What is known is known of this: of a token for an app; of nobody, for one file and one secret. */
  key: string;
  /** What the token's own text says; Infinity where it says nothing of an end, in ms since the epoch. */
  kind: BearerKind;
  endsAt: number;
  /**
   * Let through by a policy that only reports: the upstream is to judge it, and that is all. Nothing is believed of it,
   * it may see nothing that is kept, and what the upstream says to it teaches nobody anything.
   */
  isReported?: true;
};
