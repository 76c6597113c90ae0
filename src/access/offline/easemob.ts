/**
 * Easemob's dynamic tokens, which an app's own server makes:
 *   base64url( "dt-" + JSON { signature, appkey, userId, curTime, ttl } )
 *   signature = hex of SHA-256( clientId appkey userId curTime ttl clientSecret ), times in seconds.
 *
 * The parts of the signature are joined without a divider, so the same signature may fit other parts than those that were
 * meant. It is the signature by which a token is remembered, so this gains nobody a second window.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { Proof } from './verify.ts';

/** An app's keys, as the console shows them. */
export type EasemobKeys = { app: string; clientId: string; clientSecret: string };

/** Reads a token that these keys have signed for their app; undefined for everything else. */
export function readEasemobToken(
  token: string,
  { app, clientId, clientSecret }: EasemobKeys,
): (Proof & { issuedAt: number }) | undefined {
  if (!token.startsWith('ZHQt')) return undefined;
  const claims = readClaims(Buffer.from(token, 'base64url').toString('utf8').slice('dt-'.length));
  if (!claims) return undefined;
  const { signature, appkey, userId, curTime, ttl } = claims;
  if (appkey !== app.replace('/', '#')) return undefined;
  const expected = hash('sha256', `${clientId}${appkey}${userId}${curTime}${ttl}${clientSecret}`, 'hex');
  // Compared as bytes: a text in capitals is the same signature.
  if (!timingSafeEqual(Buffer.from(signature, 'hex'), Buffer.from(expected, 'hex'))) return undefined;
  return {
    signature: `easemob ${expected}`,
    kind: 'user',
    issuedAt: curTime * 1000,
    endsAt: (curTime + ttl) * 1000,
  };
}

type Claims = { signature: string; appkey: string; userId: string; curTime: number; ttl: number };

function readClaims(json: string): Claims | undefined {
  let claims: Partial<Record<keyof Claims, unknown>> | null;
  try {
    claims = JSON.parse(json) as typeof claims;
  } catch {
    return undefined;
  }
  const { signature, appkey, userId, curTime, ttl } = claims ?? {};
  if (typeof signature !== 'string' || !/^[0-9a-f]{64}$/i.test(signature)) return undefined;
  if (typeof appkey !== 'string' || typeof userId !== 'string' || userId === '') return undefined;
  return isSeconds(curTime) && isSeconds(ttl) ? { signature, appkey, userId, curTime, ttl } : undefined;
}

const isSeconds = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 40;
