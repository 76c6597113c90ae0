import { createHmac, randomBytes } from 'node:crypto';

/** Stands for a token in the audit log: the same for the same token, and of no use to whoever reads it. */
export type Fingerprint = (token: string) => string;

/**
 * Makes fingerprints under a key, 22 characters each; without one, under a key that is gone with the process. The key's
 * other use, what Redis is told of tokens, gives other digests: the two cannot be brought together.
 */
export function createFingerprint(digestKey: string = randomBytes(32).toString('base64')): Fingerprint {
  const key = createHmac('sha256', digestKey).update('audit fingerprints').digest();
  return (token) => createHmac('sha256', key).update(token).digest().subarray(0, 16).toString('base64url');
}
