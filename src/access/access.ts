/**
 * The room's front: what the upstream's answers have taught about who may see what.
 *
 * A request is `identify`ed once; `lookUp` then finds out what is known of its token, and `maySee` applies the rule of
 * may-see.ts. What the upstream answers is taught by one of the `learn…` functions. All `sentAt` are times of the clock
 * that never goes back, at which the attempt that got the answer was sent, or earlier; never later.
 */
import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';
import type { RedisConfig } from '../redis/config.ts';
import type { Bearer, TokenKind } from './bearer.ts';
import type { AccessConfig } from './config.ts';
import { createDigests } from './digest.ts';
import { createFirstSights } from './first-sights.ts';
import { createGrants } from './grants.ts';
import { isFileGone, isFileRefused, judgeRefusal, type Refusal, type RefusalKind } from './judge-refusal.ts';
import { maySee, type Sight } from './may-see.ts';
import { createVerifier } from './offline/verify.ts';
import { createProofs } from './proofs.ts';
import { createSharedFacts, type SharedFactsOptions } from './shared-facts.ts';
import { createTokenBook, type TokenRefusal } from './token-book.ts';

/** A file that was asked for with a secret, or without one. */
export type Asked = { file: string; secret: string | undefined };

/** A token as its own text tells of it; and for how long it lasts, as the answer that brought it says, in ms. */
export type IssuedToken = {
  value: string;
  kind: TokenKind;
  expiresAt: number | undefined;
  lastsMs: number | undefined;
};

/** Who may see what, as far as the upstream has told. */
export type Access = AsyncDisposable & {
  /** A token as the request brings it, for an app (`org/app`). */
  identify(app: string, token: { value: string; kind: TokenKind; expiresAt: number | undefined }): Bearer;
  /** One that is let through only because a policy reports: believed in nothing, and teaching nothing. */
  identifyReported(app: string, token: string): Bearer;
  /** One without a token, who asks for a file with a secret; all who ask so are the same. */
  identifyNobody(app: string, asked: Asked): Bearer;
  /** Finds out what is known of a token here and at other replicas; undefined when there is nothing to wait for. */
  lookUp(bearer: Bearer): Promise<void> | undefined;
  /** Whether a stored file may be shown. */
  maySee(bearer: Bearer, asked: Asked, isUpstreamDown?: boolean): Sight;
  /** Whether the token is believed at the moment, for whatever file: part (a) of the rule. */
  holdsGrant(bearer: Bearer): boolean;
  /**
   * Names those who could see the same, once one of them was served: by the secret, or because the file is open.
   * Undefined where serving this bearer would show nothing for others.
   */
  groupOf(bearer: Bearer, asked: Asked): string | undefined;
  /** What the upstream has lately refused this token for; the answer may be repeated without asking. */
  refusalOf(bearer: Bearer): TokenRefusal | undefined;
  /** Whether the upstream has lately accepted the token for anything: for taking turns, never for showing files. */
  isProven(app: string, token: string): boolean;
  /** The upstream answered with the whole file, well typed (200, 206, or 304 to our own validator). */
  learnAnswer(bearer: Bearer, file: string, secretSent: string | undefined, sentAt: number): void;
  /** The upstream accepted the token for something else. */
  learnAccepted(bearer: Bearer, sentAt: number): void;
  /** The upstream issued a token for an app, that lasts for so long as its answer said, where it said so. */
  learnIssued(app: string, token: IssuedToken, sentAt: number): void;
  /** The upstream refused. `asked`: what was sent, where it was a file; tells what the refusal was about. */
  learnRefusal(bearer: Bearer, refusal: Refusal, sentAt: number, asked?: Asked): RefusalKind;
  /** A file went up through us; `secret` is the one in the upstream's answer, if there is one. */
  learnUpload(app: string, file: string, secret: string | undefined, sentAt: number): void;
  /** There is no such file any more. */
  forgetFile(app: string, file: string): void;
  stats(): AccessStats;
};

/** What is remembered, and whether it is shared: not, with others at the moment, or not while Redis is away. */
export type AccessStats = { tokens: number; files: number; shown: number; shared: 'off' | 'connected' | 'away' };

/** What the room needs besides its config. */
export type AccessDeps = {
  /** `digestKey` as configured, and `realm`: what the tokens belong to, which is the upstream. */
  secrets: { digestKey: string | undefined; realm: string };
  /** `shiftMs` is for tests that cannot wait. */
  redis?: (RedisConfig & Pick<SharedFactsOptions, 'shiftMs'>) | undefined;
  /** How long a stored file may be shown, by the cache's own rule: proofs are kept for as long. */
  lifetimeMs: number;
  notice?: Notice;
  clock: Clock;
};

/** Opens the room; Redis is connected in the background, if tokens can be shared through it. */
export function createAccess(config: AccessConfig, deps: AccessDeps): Access {
  const { secrets, redis, lifetimeMs, notice = () => {}, clock } = deps;
  const windows = { grantMs: config.grantSeconds * 1000, graceMs: config.graceSeconds * 1000 };
  // One Redis may serve gateways before different upstreams, whose tokens have nothing to do with each other.
  const digests = createDigests(secrets.digestKey && JSON.stringify([secrets.digestKey, secrets.realm]));
  const book = createTokenBook();
  const proofs = createProofs({ lifetimeMs }, digests, clock);
  const verify = createVerifier(config.verify);
  const isShared = redis?.url !== undefined && secrets.digestKey !== undefined && windows.grantMs > 0;
  if (redis?.url !== undefined && secrets.digestKey === undefined && windows.grantMs > 0) notice('warn', UNSHARED);

  const shared =
    isShared && redis?.url !== undefined
      ? createSharedFacts(
          {
            url: redis.url,
            keyPrefix: redis.keyPrefix,
            keepMs: windows.grantMs + windows.graceMs,
            shiftMs: redis.shiftMs,
            onRefusal: (key, refusal, refusedAt) => grants.hear(key, refusal, refusedAt),
            onAway: (reason) => notice('warn', AWAY, { reason }, { component: TOKENS, is: 'degraded' }),
            onBack: () => notice('info', BACK, {}, { component: TOKENS, is: 'ok' }),
            watch: redis.watch,
          },
          clock,
        )
      : undefined;
  const offline = verify && { verify, digests, sights: createFirstSights(clock) };
  const grants = createGrants({ windows, refusalMs: config.refusalSeconds * 1000 }, { book, shared, offline, clock });
  /** Nothing was sent in the future, whoever says so. */
  const past = (sentAt: number) => Math.min(sentAt, clock.monotonic());

  const moment = (isUpstreamDown: boolean) => ({ monotonic: clock.monotonic(), now: clock.now(), isUpstreamDown });

  const identify: Access['identify'] = (app, { value, kind, expiresAt }) => ({
    app,
    token: value,
    key: digests.ofToken(app, value),
    kind,
    endsAt: expiresAt ?? Infinity,
  });

  return {
    identify,
    // It is over before it began: also where nobody looks at what it is, it ends in a "no".
    identifyReported: (app, token) => ({
      app,
      token,
      key: digests.ofToken(app, token),
      kind: 'unknown',
      endsAt: -Infinity,
      isReported: true,
    }),
    identifyNobody: (app, { file, secret = '' }) => ({
      app,
      token: '',
      key: digests.ofNobody(app, file, secret),
      kind: 'nobody',
      endsAt: Infinity,
    }),
    lookUp: (bearer) => (bearer.isReported ? undefined : grants.lookUp(bearer)),
    maySee(bearer, { file, secret }, isUpstreamDown = false) {
      if (bearer.isReported) return { allowed: false, reason: 'token-ended' };
      const facts = proofs.factsOf({ app: bearer.app, file }, bearer.key, secret);
      return maySee(grants.factsOf(bearer), facts, windows, moment(isUpstreamDown));
    },
    holdsGrant: (bearer) => !bearer.isReported && grants.isGranted(bearer),
    groupOf(bearer, { file, secret }) {
      if (bearer.isReported) return undefined;
      const kind = grants.kindOf(bearer);
      if (kind === 'nobody') return bearer.key;
      if (proofs.factsOf({ app: bearer.app, file }, bearer.key, secret).isOpen) return 'open';
      if (kind === 'app' || kind === 'admin') return undefined;
      if (secret !== undefined && secret !== '') return digests.ofSecret(bearer.app, file, secret);
      return kind === 'user' ? 'none' : undefined;
    },
    refusalOf: (bearer) => (bearer.isReported ? undefined : grants.refusalOf(bearer)),
    isProven: (app, token) => grants.isProven(digests.ofToken(app, token)),
    learnAnswer(bearer, file, secretSent, sentAt) {
      if (bearer.isReported) return;
      const served = { app: bearer.app, file, tokenKey: bearer.key, kind: grants.kindOf(bearer), secretSent };
      grants.accept(bearer, past(sentAt));
      proofs.learn({ ...served, sentAt: past(sentAt) });
    },
    learnAccepted(bearer, sentAt) {
      if (!bearer.isReported) grants.prove(bearer, past(sentAt));
    },
    learnIssued: (app, token, sentAt) => grants.issue(identify(app, token), token.lastsMs, past(sentAt)),
    learnRefusal(bearer, refusal, sentAt, asked) {
      const about = judgeRefusal(refusal);
      if (bearer.isReported) return about;
      if (about !== 'other') grants.withdraw(bearer, about, past(sentAt));
      if (bearer.kind === 'nobody') {
        // Also that there is no such file: it may be a polite word for "not without a token".
        if ([401, 403, 404].includes(refusal.status)) proofs.refuseNobody(bearer.key, past(sentAt));
        return about;
      }
      if (asked && isFileGone(refusal)) proofs.forget({ app: bearer.app, file: asked.file });
      if (asked && isFileRefused(refusal)) {
        proofs.refuse({ app: bearer.app, file: asked.file }, asked.secret, past(sentAt));
      }
      return about;
    },
    learnUpload: (app, file, secret, sentAt) => proofs.learnUpload({ app, file }, secret, past(sentAt)),
    forgetFile: (app, file) => proofs.forget({ app, file }),
    stats: () => ({
      tokens: book.size,
      ...proofs.sizes,
      shared: !shared ? 'off' : shared.isConnected ? 'connected' : 'away',
    }),
    async [Symbol.asyncDispose]() {
      await shared?.[Symbol.asyncDispose]();
    },
  };
}

/** What the second port calls the shared knowledge of tokens. */
const TOKENS = 'tokens';

const AWAY = 'Redis is away: this replica knows only by itself which tokens Easemob accepts';
const BACK = 'Redis is back: replicas tell each other again which tokens Easemob accepts';
const UNSHARED =
  'secrets.digestKey is not set: each replica asks Easemob itself about every token, ' +
  'and a token that is refused at one is believed at the others until access.grantSeconds have passed';
