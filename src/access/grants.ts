/**
 * Which tokens the upstream has accepted or refused lately, here and at the other replicas.
 *
 * 1. Memory knows first. A grant in it is believed if every refusal elsewhere would have been heard of since it was known
 *    (`knownAt` is not before the common memory's `heardSince`), or while Redis is away: then by its window alone.
 * 2. Else Redis is asked, once for all that ask at the same time. What this replica has seen accepted goes along: Redis
 *    knows whether it was taken back, and others hear of it. Neither moves a time: nothing is renewed by being copied.
 * 3. A token that nobody knows is not asked for again for a moment.
 * 4. A token that the upstream has issued is as good as one that it has accepted. Where only the answer tells when it
 *    ends, nobody remembers that: it gets a grant only if that cannot outlast the token.
 * 5. A token that proves itself by a signature is believed for one window after it was first seen anywhere. What counts is
 *    the signature, not the text: the same claims can be written in many ways.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { Bearer, BearerKind, TokenKind } from './bearer.ts';
import type { Digests } from './digest.ts';
import type { FirstSights } from './first-sights.ts';
import { grantOf, NEVER, type TokenFacts, type Windows } from './may-see.ts';
import type { Verifier } from './offline/verify.ts';
import type { SharedFacts } from './facts.ts';
import type { TokenBook, TokenRecord, TokenRefusal } from './token-book.ts';

/** What is known of tokens. */
export type Grants = {
  /** Finds out what is known of a token anywhere; undefined when there is nothing to wait for. Never rejects. */
  lookUp(bearer: Bearer): Promise<void> | undefined;
  /** What may be believed of a token now. */
  factsOf(bearer: Bearer): TokenFacts;
  /** Whether it is believed, for whatever file. */
  isGranted(bearer: Bearer): boolean;
  /** The refusal that may be repeated without asking the upstream. */
  refusalOf(bearer: Bearer): TokenRefusal | undefined;
  /** Whether the upstream has accepted the token lately for anything; says nothing of what it may see. */
  isProven(key: string): boolean;
  kindOf(bearer: Bearer): BearerKind;
  accept(bearer: Bearer, sentAt: number): void;
  prove(bearer: Bearer, sentAt: number): void;
  /** The upstream issued the token; `lastsMs`: for how long, as its answer said. */
  issue(bearer: Bearer, lastsMs: number | undefined, sentAt: number): void;
  withdraw(bearer: Bearer, refusal: TokenRefusal, sentAt: number): void;
  /** Another replica was refused a token. */
  hear(key: string, refusal: TokenRefusal, refusedAt: number): void;
};

/** How long things are believed. */
export type GrantOptions = { windows: Windows; refusalMs: number };

/** Who remembers: this process; the replicas together, if they share a Redis; the first sights where they do not. */
export type GrantDeps = {
  book: TokenBook;
  shared: SharedFacts | undefined;
  offline: { verify: Verifier; digests: Digests; sights: FirstSights } | undefined;
  clock: Clock;
};

/** What a token proves to be: the digest by which that is remembered. */
type Link = { identity: string; kind: TokenKind; endsAt: number };

/** How many texts of such tokens are remembered. Not in the book: one token can be written in countless ways. */
const MAX_LINKS = 10_000;
/** A token of which nobody knows anything is not asked for again for so long, in ms… */
const ASK_AGAIN_MS = 1000;
/** …and so many of them are remembered. */
const MAX_ASKED = 10_000;
/** How long a token is proven where no grants are given, in ms. */
const PROVEN_MS = 300_000;
/** A first sight is remembered for a little longer than the token lasts, in ms: clocks differ. */
const SIGHT_MARGIN_MS = 120_000;

/** Keeps what is known of tokens. */
export function createGrants({ windows, refusalMs }: GrantOptions, deps: GrantDeps): Grants {
  const { book, shared, offline, clock } = deps;
  const asked = new LRUCache<string, number>({ max: MAX_ASKED });
  const asking = new Map<string, Promise<void>>();
  const links = new LRUCache<string, Link>({ max: MAX_LINKS });
  const provenMs = windows.grantMs === 0 ? PROVEN_MS : windows.grantMs;

  const isComplete = ({ knownAt }: TokenRecord) => !shared?.isConnected || knownAt >= shared.heardSince;

  const factsOf = (bearer: Bearer): TokenFacts => {
    const text = book.get(bearer.key);
    const link = links.get(bearer.key);
    const proof = link && book.get(link.identity);
    return {
      isTokenless: bearer.kind === 'nobody',
      acceptedAt: text && isComplete(text) ? text.acceptedAt : NEVER,
      verifiedAt: proof && isComplete(proof) ? proof.verifiedAt : NEVER,
      refusedAt: Math.max(text?.refusedAt ?? NEVER, proof?.refusedAt ?? NEVER),
      endsAt: Math.min(bearer.endsAt, link?.endsAt ?? Infinity),
    };
  };

  const isGranted = (bearer: Bearer) =>
    grantOf(factsOf(bearer), windows, { monotonic: clock.monotonic(), now: clock.now(), isUpstreamDown: false })
      .allowed;

  const wasAsked = (key: string) => {
    const at = asked.get(key) ?? NEVER;
    return clock.monotonic() - at < ASK_AGAIN_MS && at >= (shared?.heardSince ?? NEVER);
  };

  /** Finds out what a token proves to be, by its signature. */
  const linkOf = ({ app, key, token, kind: claimed }: Bearer): Link | undefined => {
    const known = links.get(key);
    if (known || !offline || claimed === 'nobody') return known;
    const proof = offline.verify(app, token, clock.now());
    if (!proof) return undefined;
    const { signature, kind, endsAt } = proof;
    const link = { identity: offline.digests.ofIdentity(app, signature), kind, endsAt };
    links.set(key, link);
    return link;
  };

  /** Asks Redis about one key, and tells what this replica has seen itself. */
  const ask = async (key: string, endsAt: number, claims: boolean): Promise<void> => {
    const seenAcceptedAt = book.get(key)?.seenAcceptedAt ?? NEVER;
    const told = await shared?.merge(key, {
      acceptedAt: seenAcceptedAt,
      endsInMs: endsAt - clock.now(),
      ...(claims ? { claimForMs: endsAt - clock.now() + SIGHT_MARGIN_MS } : {}),
    });
    if (!told) return;
    const { acceptedAt, provenAt, refusal, firstSeenAt, askedAt } = told;
    asked.set(key, askedAt);
    const isNew = acceptedAt > NEVER || provenAt > NEVER || firstSeenAt > NEVER || refusal !== undefined;
    // What nobody knows takes no room in the book: made-up tokens would push out the others.
    if (!isNew && !book.get(key)) return;
    const refused = refusal === undefined ? {} : { refusedAt: askedAt, refusal };
    book.learn(key, { acceptedAt, provenAt, verifiedAt: firstSeenAt, knownAt: askedAt, ...refused });
  };

  const findOut = async (bearer: Bearer): Promise<void> => {
    const link = linkOf(bearer);
    const questions = [ask(bearer.key, bearer.endsAt, false)];
    if (link) questions.push(ask(link.identity, link.endsAt, true));
    await Promise.all(questions);
  };

  /** Where nothing is shared, a first sight is this process's to give. */
  const findOutAlone = (bearer: Bearer): void => {
    const link = shared ? undefined : linkOf(bearer);
    const at = link && offline?.sights.claim(link.identity, link.endsAt);
    if (link && at !== undefined) book.learn(link.identity, { verifiedAt: at });
  };

  const refuse = (key: string, refusal: TokenRefusal, sentAt: number, spendForMs?: number) => {
    book.learn(key, { refusedAt: sentAt, refusal, refusedUntil: clock.monotonic() + refusalMs });
    shared?.refuse(key, { refusal, refusedAt: sentAt, spendForMs });
  };

  const refusalOf = ({ key }: Bearer): TokenRefusal | undefined => {
    const text = book.get(key);
    const proof = book.get(links.get(key)?.identity ?? '');
    const acceptedAt = Math.max(text?.acceptedAt ?? NEVER, text?.provenAt ?? NEVER);
    const isRepeated = (record: TokenRecord | undefined) =>
      record && clock.monotonic() < record.refusedUntil && record.refusedAt > acceptedAt;
    return (isRepeated(text) && text?.refusal) || (isRepeated(proof) && proof?.refusal) || undefined;
  };

  const accept = (bearer: Bearer, sentAt: number) => {
    linkOf(bearer);
    const facts = { acceptedAt: sentAt, seenAcceptedAt: sentAt, provenAt: sentAt };
    // A refusal that beats this acceptance was told after it was sent: whoever listened since then has heard of it.
    book.learn(bearer.key, { ...facts, knownAt: sentAt });
    if (windows.grantMs > 0) void ask(bearer.key, bearer.endsAt, false);
  };

  const prove = (bearer: Bearer, sentAt: number) => {
    book.learn(bearer.key, { provenAt: sentAt });
    void shared?.merge(bearer.key, { provenAt: sentAt, endsInMs: bearer.endsAt - clock.now() });
  };

  return {
    lookUp(bearer) {
      // One that was refused here may have been accepted elsewhere since: it is asked for like any other.
      if (isGranted(bearer)) return undefined;
      if (!shared?.isConnected) {
        findOutAlone(bearer);
        return undefined;
      }
      if (wasAsked(bearer.key)) return undefined;
      let question = asking.get(bearer.key);
      if (!question) {
        question = findOut(bearer).finally(() => asking.delete(bearer.key));
        asking.set(bearer.key, question);
      }
      return question;
    },
    factsOf,
    isGranted,
    refusalOf,
    isProven(key) {
      const record = book.get(key);
      if (!record || record.provenAt <= record.refusedAt) return false;
      return clock.monotonic() - record.provenAt < provenMs;
    },
    kindOf: (bearer) => linkOf(bearer)?.kind ?? bearer.kind,
    accept,
    prove,
    issue(bearer, lastsMs, sentAt) {
      const isOutlasted = bearer.endsAt === Infinity && !(lastsMs && lastsMs >= windows.grantMs + windows.graceMs);
      if (isOutlasted) prove(bearer, sentAt);
      else accept(bearer, sentAt);
    },
    withdraw(bearer, refusal, sentAt) {
      const link = linkOf(bearer);
      refuse(bearer.key, refusal, sentAt);
      if (!link) return;
      offline?.sights.spend(link.identity, link.endsAt);
      refuse(link.identity, refusal, sentAt, link.endsAt - clock.now() + SIGHT_MARGIN_MS);
    },
    hear(key, refusal, refusedAt) {
      book.learn(key, { refusedAt, refusal, refusedUntil: refusedAt + refusalMs });
    },
  };
}
