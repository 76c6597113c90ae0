import type { VerifyConfig } from '../config.ts';
import { readAgoraToken } from './agora.ts';
import { readEasemobToken } from './easemob.ts';

/** What a token proves by its own signature. `signature` names it, however its text is written; times since the epoch. */
export type Proof = { signature: string; kind: 'user' | 'app'; endsAt: number };

/** Checks a token for an app (`org/app`) at a time; undefined when it proves nothing. Never throws, whatever the token. */
export type Verifier = (app: string, token: string, now: number) => Proof | undefined;

/** How far ahead the clock of whoever issues tokens may be, in ms. */
const AHEAD_MS = 60_000;

/** Verifies by the keys of the configured apps; undefined when none are configured. An app may have several keys. */
export function createVerifier({ agora, easemob }: VerifyConfig): Verifier | undefined {
  if (agora.length + easemob.length === 0) return undefined;
  return (app, token, now) => {
    for (const keys of agora) {
      const proof = keys.app === app ? readAgoraToken(token, keys) : undefined;
      if (proof && isInTime(proof, now)) return proof;
    }
    for (const keys of easemob) {
      const proof = keys.app === app ? readEasemobToken(token, keys) : undefined;
      if (proof && isInTime(proof, now)) return proof;
    }
    return undefined;
  };
}

const isInTime = ({ issuedAt, endsAt }: Proof & { issuedAt: number }, now: number): boolean =>
  issuedAt <= now + AHEAD_MS && now < endsAt;
