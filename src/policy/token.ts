/**
 * What a bearer token tells by itself.
 *
 * A gateway cannot verify Easemob's tokens: their signature is made with a salt that only Easemob knows. It can read
 * the expiry of the two published layouts, and so refuse a token that Easemob would refuse for its age, at no cost.
 * Everything else is for the upstream to decide.
 */
import { allow, type Decision, deny, type Denial } from './decision.ts';

/** Whom a token speaks for, as far as its own text says. Only the upstream can tell whether that is true. */
export type TokenKind = 'user' | 'app' | 'admin' | 'unknown';

/** A bearer token; `expiresAt` (ms since the epoch) only where its layout is known and it ends at all. */
export type Token = {
  value: string;
  layout: 'short' | 'long' | 'unknown';
  kind: TokenKind;
  expiresAt: number | undefined;
};

// RFC 6750 section 2.1, `b64token`; Agora's tokens use all of it.
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const MAX_LENGTH = 4096;

/** Reads an Authorization header, or says why it holds no token. */
export function readToken(authorization: string | undefined): Token | Denial {
  if (authorization === undefined || authorization === '') return deny('TOKEN_MISSING', 'no Authorization header');
  if (!/^bearer(?: |$)/i.test(authorization)) return deny('TOKEN_MISSING', 'the Authorization scheme is not Bearer');
  const value = BEARER.exec(authorization)?.[1];
  if (value === undefined) return deny('TOKEN_MALFORMED', 'the bearer token has characters that no token has');
  if (value.length > MAX_LENGTH)
    return deny('TOKEN_MALFORMED', `the bearer token is longer than ${MAX_LENGTH} characters`);
  return { value, ...readLayout(value) };
}

/** Whether a token may be tried at the upstream, at a given time in ms since the epoch. */
export function checkToken({ expiresAt }: Token, now: number): Decision {
  if (expiresAt === undefined || now < expiresAt) return allow;
  return deny('TOKEN_EXPIRED', `the token expired ${Math.round((now - expiresAt) / 1000)} s ago`);
}

/** By the type byte of the long layout. */
const KINDS: readonly (TokenKind | undefined)[] = [undefined, 'admin', 'app', 'user'];

/**
 * The two layouts behind the prefix `YWMt` (base64 of "ac-", an access token), both base64url without padding:
 *   short, 44 bytes: uuid 16 · expiry int64 BE ms · SHA-1 20   (Usergrid source)
 *   long,  94 bytes: id 16 · application 16 · principal 16 · type (1 admin, 2 application, 3 user) · version 3
 *                    · issued int64 BE ms · ttl uint32 BE s (0: no end) · signature 32   (read from published samples)
 */
function readLayout(value: string): Omit<Token, 'value'> {
  const unknown = { layout: 'unknown', kind: 'unknown', expiresAt: undefined } as const;
  if (!value.startsWith('YWMt') || !/^[A-Za-z0-9_-]+$/.test(value)) return unknown;
  const bytes = Buffer.from(value.slice(4), 'base64url');
  if (value.length === 63 && bytes.length === 44) {
    return { layout: 'short', kind: 'unknown', expiresAt: Number(bytes.readBigInt64BE(16)) };
  }
  const kind = KINDS[bytes[48] ?? 0];
  if (value.length === 130 && bytes.length === 94 && kind !== undefined && bytes[49] === 3) {
    const ttlSeconds = bytes.readUInt32BE(58);
    const issuedAt = Number(bytes.readBigInt64BE(50));
    return { layout: 'long', kind, expiresAt: ttlSeconds === 0 ? undefined : issuedAt + ttlSeconds * 1000 };
  }
  return unknown;
}
