/** What replicas tell each other of tokens, as types; shared-facts.ts does it through Redis. */
import type { OwnRefusal } from './own-refusals.ts';
import type { TokenRefusal } from './token-book.ts';

/** What a replica has learnt; times as in may-see.ts. `endsInMs`: until the token's own end. */
export type News = {
  acceptedAt?: number;
  provenAt?: number;
  endsInMs?: number;
  /** To be told the first sight of what a token proves to be, which is remembered for so long. */
  claimForMs?: number;
};

/** What all replicas know. */
export type Told = {
  acceptedAt: number;
  provenAt: number;
  /** What the token was refused for, if it was refused after all that was accepted. */
  refusal: TokenRefusal | undefined;
  firstSeenAt: number;
  /** When it was asked. */
  askedAt: number;
};

/** What replicas tell each other. */
export type SharedFacts = AsyncDisposable & {
  /** Tells and asks, in one; undefined while Redis is away. Never rejects, and never takes much longer than a command may. */
  merge(key: string, news: News): Promise<Told | undefined>;
  /** Tells all replicas that a token was refused; kept and told later while Redis is away. */
  refuse(key: string, own: OwnRefusal): void;
  /** Whether Redis answers, and messages are heard. */
  readonly isConnected: boolean;
  /** Since when no message can have been missed. */
  readonly heardSince: number;
};
