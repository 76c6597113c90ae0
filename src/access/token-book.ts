import { LRUCache } from 'lru-cache';
import type { RefusalKind } from './judge-refusal.ts';
import { NEVER } from './may-see.ts';

/** What a refusal of a token was about. */
export type TokenRefusal = Exclude<RefusalKind, 'other'>;

/** All that this replica knows of one token, or of what a token proves to be; times as in may-see.ts. */
export type TokenRecord = {
  acceptedAt: number;
  verifiedAt: number;
  refusedAt: number;
  /** Sent: the latest request that the upstream accepted at all, an upload for instance. */
  provenAt: number;
  /** Of the acceptances, the latest that this replica has seen itself: only those are told to others. */
  seenAcceptedAt: number;
  /** What the latest refusal was about, and until when it is repeated without asking. */
  refusal: TokenRefusal | undefined;
  refusedUntil: number;
  /** Since when every refusal elsewhere would have been heard of; see grants.ts. */
  knownAt: number;
};

/** What this replica remembers of tokens, by their digests; bounded in number. */
export type TokenBook = {
  get(key: string): Readonly<TokenRecord> | undefined;
  /** Merges news into a record. The later of two times stands, whichever was told first. */
  learn(key: string, news: Partial<TokenRecord>): Readonly<TokenRecord>;
  readonly size: number;
};

const NOTHING: TokenRecord = {
  acceptedAt: NEVER,
  verifiedAt: NEVER,
  refusedAt: NEVER,
  provenAt: NEVER,
  seenAcceptedAt: NEVER,
  refusal: undefined,
  refusedUntil: NEVER,
  knownAt: NEVER,
};

/** Opens an empty book for so many tokens, at about 300 bytes each. */
export function createTokenBook(max = 50_000): TokenBook {
  // A refusal that was forgotten for want of room still beats every acceptance of a request sent before it.
  let forgottenRefusalAt = NEVER;
  const records = new LRUCache<string, TokenRecord>({
    max,
    dispose: ({ refusedAt }) => {
      forgottenRefusalAt = Math.max(forgottenRefusalAt, refusedAt);
    },
  });
  const later = (was: number, told = NEVER) => Math.max(was, told);
  const alive = (at = NEVER) => (at > forgottenRefusalAt ? at : NEVER);

  return {
    get: (key) => records.get(key),
    learn(key, news) {
      let record = records.get(key);
      if (!record) {
        record = { ...NOTHING };
        records.set(key, record);
      }
      const isLatestRefusal = news.refusedAt !== undefined && news.refusedAt >= record.refusedAt;
      record.acceptedAt = later(record.acceptedAt, alive(news.acceptedAt));
      record.verifiedAt = later(record.verifiedAt, alive(news.verifiedAt));
      record.provenAt = later(record.provenAt, alive(news.provenAt));
      record.seenAcceptedAt = later(record.seenAcceptedAt, alive(news.seenAcceptedAt));
      record.refusedAt = later(record.refusedAt, news.refusedAt);
      if (isLatestRefusal) record.refusal = news.refusal;
      record.refusedUntil = later(record.refusedUntil, news.refusedUntil);
      record.knownAt = later(record.knownAt, news.knownAt);
      return record;
    },
    get size() {
      return records.size;
    },
  };
}
