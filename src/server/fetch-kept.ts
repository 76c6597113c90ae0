import type { Asked } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import type { Cache } from '../cache/cache.ts';
import type { CacheKey, Entry } from '../cache/entry.ts';
import { GatewayError } from '../errors.ts';
import type { Outcome } from '../upstream/send.ts';
import { collect } from './collect.ts';
import type { Exchange } from './exchange.ts';
import { forgetIfGone } from './forget.ts';
import { forward, type ForwardDeps } from './forward.ts';
import { type KeepLimits, makeEntry, maxBytesOf, mayKeep, validatorOf } from './keep.ts';
import type { Variant } from '../policy/variant.ts';

/** What a fetch needs: the way out, where to keep what comes, and what may be kept. */
export type FetchDeps = ForwardDeps & { cache: Cache; keep: KeepLimits; answer: { idleMs: number } };

/** What is fetched, for whom, and what is kept of it already. */
export type Fetch = {
  key: CacheKey;
  variant: Variant;
  bearer: Bearer;
  asked: Asked;
  path: string;
  headers: Record<string, string>;
  entry: Entry | undefined;
  /** Only what nobody else needs is used for it. */
  isSpare?: boolean;
  /** Aborts when the gateway closes: then nobody waits for anything any more. */
  closing: AbortSignal;
  /** Called when an attempt goes out. */
  onSent?: () => void;
  /** Whether nobody else waits for this fetch. */
  mayLeave: () => boolean;
};

/** What came of it: an entry that this bearer may see, since the upstream has just given it; or what is only the leader's. */
export type Fetched =
  | { kind: 'entry'; entry: Entry; status: number; isKept: boolean }
  | { kind: 'passed'; outcome: Outcome; sentAt: number };

/**
 * Fetches a file's form with its asker's own credentials, and keeps it if that may be. Once the request has gone out, or
 * while others wait for it, it goes on without the asker: what it costs is spent.
 */
export async function fetchKept(fetch: Fetch, exchange: Exchange, deps: FetchDeps): Promise<Fetched> {
  const { bearer, asked, path, headers, variant, key, entry } = fetch;
  const { clock, access, cache } = deps;
  const validator = entry ? validatorOf(entry) : {};
  const mark = cache.mark();
  const leaving = leaveUnlessSent(exchange.signal, fetch.mayLeave);
  const signal = AbortSignal.any([leaving.signal, fetch.closing]);
  try {
    const { outcome, sentAt } = await forward(
      deps,
      { method: 'GET', path, headers: { ...headers, ...validator }, ownConditions: true },
      {
        kind: variant === 'original' ? 'download' : 'thumbnail',
        bearer,
        asked,
        isSpare: fetch.isSpare ?? false,
        signal,
        onSent() {
          leaving.stay();
          fetch.onSent?.();
        },
      },
      exchange,
    );
    // Who came to wait for it in the meantime must not take this for the upstream's failure.
    if (outcome.kind === 'failure' && signal.aborted) throw new GatewayError('CLIENT_GONE', { reason: 'given up' });
    forgetIfGone(outcome, bearer, asked.file, cache);
    if (outcome.kind !== 'answer') return { kind: 'passed', outcome, sentAt };
    exchange.upstreamStatus = outcome.status;
    if (outcome.status === 304 || outcome.status === 206) {
      const isConfirmed = outcome.status === 304 && entry !== undefined && Object.keys(validator).length > 0;
      // A 304 has no body, but its connection can be used again only when that was read.
      if (outcome.status === 304) outcome.body.once('close', outcome.release).resume();
      else dispose(outcome);
      if (!isConfirmed) throw new GatewayError('UPSTREAM_BROKEN', { reason: `${outcome.status} without being asked` });
      access.learnAnswer(bearer, asked.file, asked.secret, sentAt);
      return { kind: 'entry', entry, status: outcome.status, isKept: false };
    }
    const maxBytes = maxBytesOf(variant, deps.keep);
    if (!mayKeep(outcome, maxBytes)) return { kind: 'passed', outcome, sentAt };
    signal.addEventListener('abort', () => outcome.body.destroy(), { once: true });
    const body = await collect(outcome.body, { maxBytes, idleMs: deps.answer.idleMs }, clock);
    if (body === undefined) return { kind: 'passed', outcome, sentAt };
    outcome.release();
    const made = makeEntry(variant, outcome.headers, body, clock.now());
    if (!made) return { kind: 'passed', outcome: { ...outcome, whole: body }, sentAt };
    access.learnAnswer(bearer, asked.file, asked.secret, sentAt);
    return { kind: 'entry', entry: made, status: outcome.status, isKept: cache.put(key, made, mark) };
  } finally {
    leaving.stay();
  }
}

/** Lets go of an answer that nobody takes. */
export function dispose({ body, release }: Extract<Outcome, { kind: 'answer' }>): void {
  body.destroy();
  release();
}

/** A signal that follows the client's until `stay` is called, and then no more; nor while others wait. */
function leaveUnlessSent(client: AbortSignal, mayLeave: () => boolean): { signal: AbortSignal; stay: () => void } {
  const leaving = new AbortController();
  const leave = () => {
    if (mayLeave()) leaving.abort();
  };
  if (client.aborted) leave();
  client.addEventListener('abort', leave, { once: true });
  return { signal: leaving.signal, stay: () => client.removeEventListener('abort', leave) };
}
