/**
 * What the upstream has shown about files: which share-secrets it accepted, which files are open, and who was shown what.
 *
 * Learnt from what was actually *sent* upstream, never from what a client claims. A secret that an app's or an admin's
 * token was served with proves nothing, since such a token may do everything; nor does such a token prove that a file is
 * open. A token of unknown kind that was served without a secret has shown that for itself alone, and so has who was
 * served without a token.
 */
import { timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { BearerKind } from './bearer.ts';
import type { Digests } from './digest.ts';
import { type FileFacts, NEVER } from './may-see.ts';

/** A file of an app, by the name that the upstream gave it. */
export type FileName = { app: string; file: string };

/** A whole, well-typed answer of the upstream with the file's bytes: who got it, with which secret, sent when. */
export type Served = FileName & {
  tokenKey: string;
  kind: BearerKind;
  secretSent: string | undefined;
  sentAt: number;
};

/** What is known of files. */
export type Proofs = {
  factsOf(name: FileName, tokenKey: string, secret: string | undefined): FileFacts;
  learn(served: Served): void;
  /** A file went up through us, and the upstream's answer bore this secret, or none. */
  learnUpload(name: FileName, secret: string | undefined, sentAt: number): void;
  /** The upstream refused these credentials for the file. */
  refuse(name: FileName, secretSent: string | undefined, sentAt: number): void;
  /** The upstream refused a reader without a token: that is said of such readers alone. */
  refuseNobody(tokenKey: string, sentAt: number): void;
  /** There is no such file any more. */
  forget(name: FileName): void;
  readonly sizes: { files: number; shown: number };
};

/** How long a proof holds, and how many files and showings are remembered, at about 300 bytes each. */
export type ProofOptions = { lifetimeMs: number; maxFiles?: number; maxShown?: number };

type FileRecord = { openAt: number; deniedAt: number; secrets: { digest: Buffer; provenAt: number }[] };

/** A file has one secret; more are kept only for the case that the upstream lets more than one pass. */
const MAX_SECRETS = 4;
const MAX_REFUSED = 10_000;

/** Opens an empty record of files. */
export function createProofs(options: ProofOptions, digests: Digests, clock: Pick<Clock, 'monotonic'>): Proofs {
  const { lifetimeMs, maxFiles = 50_000, maxShown = 50_000 } = options;
  const files = new LRUCache<string, FileRecord>({ max: maxFiles });
  /** When a token was shown a file with a secret. A secret's digest is one for that file alone. */
  const shown = new LRUCache<string, number>({ max: maxShown });
  // Refusals outlive the proofs that they end: the answer to an earlier request may still be on its way. One that was
  // forgotten for want of room counts for every secret.
  let forgottenRefusalAt = NEVER;
  const refused = new LRUCache<string, number>({
    max: MAX_REFUSED,
    dispose: (at, _key, reason) => {
      if (reason === 'evict') forgottenRefusalAt = Math.max(forgottenRefusalAt, at);
    },
  });

  // JSON: a key that cannot be read two ways.
  const fileKey = ({ app, file }: FileName) => JSON.stringify([app, file]);
  const secretDigest = ({ app, file }: FileName, secret: string | undefined) =>
    digests.ofSecret(app, file, secret ?? '');
  const refusedAt = (digest: string) => refused.get(digest) ?? forgottenRefusalAt;
  const refuseAt = (digest: string, sentAt: number) => void refused.set(digest, Math.max(sentAt, refusedAt(digest)));
  const holds = (at: number) => clock.monotonic() - at < lifetimeMs;
  const isSent = (secret: string | undefined): secret is string => secret !== undefined && secret !== '';

  const recordOf = (name: FileName): FileRecord => {
    const key = fileKey(name);
    const known = files.get(key);
    if (known) return known;
    const record: FileRecord = { openAt: NEVER, deniedAt: NEVER, secrets: [] };
    files.set(key, record);
    return record;
  };

  const learnSecret = (record: FileRecord, text: string, sentAt: number) => {
    const digest = Buffer.from(text);
    const known = record.secrets.find((secret) => timingSafeEqual(secret.digest, digest));
    if (known) {
      known.provenAt = Math.max(known.provenAt, sentAt);
      return;
    }
    record.secrets.push({ digest, provenAt: sentAt });
    if (record.secrets.length > MAX_SECRETS) record.secrets.shift();
  };

  return {
    factsOf(name, tokenKey, secret) {
      const text = secretDigest(name, secret);
      const record = files.get(fileKey(name));
      const digest = Buffer.from(text);
      const proof = isSent(secret) ? record?.secrets.find((known) => timingSafeEqual(known.digest, digest)) : undefined;
      const shownAt = shown.get(tokenKey + text) ?? NEVER;
      return {
        isOpen: record !== undefined && record.openAt > record.deniedAt && holds(record.openAt),
        isSecretProven: proof !== undefined && holds(proof.provenAt),
        shownAt: shownAt > Math.max(refusedAt(text), refusedAt(tokenKey)) ? shownAt : NEVER,
      };
    },
    learn({ tokenKey, kind, secretSent, sentAt, ...name }) {
      const text = secretDigest(name, secretSent);
      if (sentAt <= Math.max(refusedAt(text), refusedAt(tokenKey))) return;
      shown.set(tokenKey + text, Math.max(sentAt, shown.get(tokenKey + text) ?? NEVER));
      const isWitness = kind === 'user' || kind === 'unknown';
      if (isSent(secretSent) && isWitness) learnSecret(recordOf(name), text, sentAt);
      if (!isSent(secretSent) && kind === 'user') {
        const record = recordOf(name);
        record.openAt = Math.max(record.openAt, sentAt);
      }
    },
    learnUpload(name, secret, sentAt) {
      // With a secret, the upstream has accepted nothing yet.
      if (isSent(secret)) return;
      const record = recordOf(name);
      record.openAt = Math.max(record.openAt, sentAt);
    },
    refuse(name, secretSent, sentAt) {
      const text = secretDigest(name, secretSent);
      refuseAt(text, sentAt);
      const record = recordOf(name);
      record.deniedAt = Math.max(record.deniedAt, sentAt);
      const digest = Buffer.from(text);
      record.secrets = record.secrets.filter(
        (proof) => proof.provenAt > sentAt || !timingSafeEqual(proof.digest, digest),
      );
    },
    refuseNobody: refuseAt,
    forget: (name) => void files.delete(fileKey(name)),
    get sizes() {
      return { files: files.size, shown: shown.size };
    },
  };
}
