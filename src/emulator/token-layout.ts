import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** `short`: 63 characters with the expiry in the token. `long`: 130 characters with the app, the principal and a lifetime. */
export type TokenLayout = 'short' | 'long';

/** What a token says: an id, and from when to when it holds. */
export type Claims = {
  /** 16 bytes, a version 1 uuid. */
  id: Buffer;
  issuedAt: number;
  expiresAt: number;
  /** 16 bytes each, which only the long layout carries. */
  application: Buffer;
  principal: Buffer;
  kind: 'user' | 'app';
};

/** What a token's text turns out to be. */
export type Reading =
  | { kind: 'malformed' }
  /** The right form, signed by somebody else. */
  | { kind: 'foreign' }
  | { kind: 'ours'; id: string; expiresAt: number };

/** `ac-`, the category of access tokens, as base64: how every token begins. */
const PREFIX = 'YWMt';
const CATEGORY = 'ac';
const SHORT_BYTES = 16 + 8 + 20;
const LONG_BYTES = 16 + 16 + 16 + 1 + 1 + 8 + 4 + 32;
const LONG_SIGNED_BYTES = LONG_BYTES - 32;
const VERSION = 3;
const KIND_NUMBERS = { app: 2, user: 3 } as const;
/** Stands in a long token for the app when the token is the app's own. */
const WHOLE_APP = Buffer.from('00000000000000000000000000000001', 'hex');

const shortSignature = (id: Buffer, expiresAt: bigint, salt: string): Buffer =>
  createHash('sha1')
    .update(`${CATEGORY}${id.toString('hex')}${salt}${expiresAt}`)
    .digest();

const longSignature = (signed: Buffer, salt: string): Buffer => createHmac('sha256', salt).update(signed).digest();

function sealShort({ id, expiresAt }: Claims, salt: string): Buffer {
  const expiry = Buffer.alloc(8);
  const expiryMs = BigInt(Math.floor(expiresAt));
  expiry.writeBigInt64BE(expiryMs);
  return Buffer.concat([id, expiry, shortSignature(id, expiryMs, salt)]);
}

function sealLong({ id, application, principal, kind, issuedAt, expiresAt }: Claims, salt: string): Buffer {
  const bytes = Buffer.alloc(LONG_SIGNED_BYTES);
  id.copy(bytes, 0);
  (kind === 'app' ? WHOLE_APP : application).copy(bytes, 16);
  principal.copy(bytes, 32);
  bytes[48] = KIND_NUMBERS[kind];
  bytes[49] = VERSION;
  bytes.writeBigInt64BE(BigInt(Math.floor(issuedAt)), 50);
  // A lifetime of 0 would mean "for ever".
  const ttlSeconds = Math.max(1, Math.ceil((expiresAt - issuedAt) / 1000));
  bytes.writeUInt32BE(Math.min(ttlSeconds, 0xffff_ffff), 58);
  return Buffer.concat([bytes, longSignature(bytes, salt)]);
}

/** Writes the token of these claims, signed with the salt that nobody else knows. */
export const sealToken = (claims: Claims, layout: TokenLayout, salt: string): string =>
  PREFIX + (layout === 'short' ? sealShort(claims, salt) : sealLong(claims, salt)).toString('base64url');

/** Reads a token of either layout. */
export function readToken(text: string, salt: string): Reading {
  if (!text.startsWith(PREFIX)) return { kind: 'malformed' };
  const encoded = text.slice(PREFIX.length);
  const bytes = Buffer.from(encoded, 'base64url');
  // Node's decoder skips what it does not know, so only a text that it would write itself is taken.
  if (bytes.toString('base64url') !== encoded) return { kind: 'malformed' };
  if (bytes.length === SHORT_BYTES) return readShort(bytes, salt);
  if (bytes.length === LONG_BYTES) return readLong(bytes, salt);
  return { kind: 'malformed' };
}

function readShort(bytes: Buffer, salt: string): Reading {
  const id = bytes.subarray(0, 16);
  const expiresAt = bytes.readBigInt64BE(16);
  if (!timingSafeEqual(bytes.subarray(24), shortSignature(id, expiresAt, salt))) return { kind: 'foreign' };
  return { kind: 'ours', id: id.toString('hex'), expiresAt: Number(expiresAt) };
}

function readLong(bytes: Buffer, salt: string): Reading {
  const signed = bytes.subarray(0, LONG_SIGNED_BYTES);
  if (!timingSafeEqual(bytes.subarray(LONG_SIGNED_BYTES), longSignature(signed, salt))) return { kind: 'foreign' };
  const ttlSeconds = signed.readUInt32BE(58);
  const expiresAt = ttlSeconds === 0 ? Infinity : Number(signed.readBigInt64BE(50)) + ttlSeconds * 1000;
  return { kind: 'ours', id: signed.subarray(0, 16).toString('hex'), expiresAt };
}
