/**
 * Agora's tokens of version 007 (AccessToken2), which carry their own signature:
 *   "007" + base64( deflate( signature | app id | issued | lasts | salt | number of services | services ) )
 * all little-endian; a text is its length in 2 bytes and its bytes; times are in seconds, `lasts` from `issued` on. A
 * service is its type, a number of privileges, each with how long it lasts, and texts of its own; services stand in the
 * order of their types.
 *
 * Read here and not by npm's `agora-token`: that inflates without a bound, and whoever may send a request may send a token.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import type { Proof } from './verify.ts';

/** An Agora project's keys. */
export type AgoraKeys = { appId: string; certificate: string };

/** What a token may be when inflated; a chat token is about 150 bytes, one for all services some more. */
const MAX_BYTES = 2048;
const CHAT = 5;
const USER = 1;
const APP = 2;
/** How many texts the services before the chat's have: RTC, RTM, streaming, FPA. */
const TEXTS: readonly (number | undefined)[] = [undefined, 2, 1, 2, 0];

/** Reads a token that these keys have signed for the chat service; undefined for everything else. */
export function readAgoraToken(
  token: string,
  { appId, certificate }: AgoraKeys,
): (Proof & { issuedAt: number }) | undefined {
  if (!token.startsWith('007')) return undefined;
  try {
    const bytes = inflateSync(Buffer.from(token.slice(3), 'base64'), { maxOutputLength: MAX_BYTES });
    const signature = readText(bytes, 0);
    const signed = bytes.subarray(2 + signature.length);
    const id = readText(signed, 0);
    const issued = signed.readUInt32LE(2 + id.length);
    const lasts = signed.readUInt32LE(6 + id.length);
    const salt = signed.readUInt32LE(10 + id.length);
    if (id.toString('latin1').toLowerCase() !== appId.toLowerCase()) return undefined;
    const expected = hmac(hmac(uint32(salt), hmac(uint32(issued), certificate)), signed);
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) return undefined;
    const privileges = readChat(signed, 14 + id.length);
    const kind = privileges?.has(APP) ? 'app' : 'user';
    // Each has an end of its own.
    const chatLasts = privileges?.get(kind === 'app' ? APP : USER);
    if (chatLasts === undefined) return undefined;
    const endsAt = (issued + Math.min(lasts, chatLasts)) * 1000;
    return { signature: `agora ${signature.toString('base64')}`, kind, issuedAt: issued * 1000, endsAt };
  } catch {
    // Not base64, not deflated, too large, or too short for what it claims to hold.
    return undefined;
  }
}

/** The chat service's privileges and how long each lasts; undefined when the token is for other services. */
function readChat(bytes: Buffer, start: number): Map<number, number> | undefined {
  let at = start + 2;
  for (let services = bytes.readUInt16LE(start); services > 0; services -= 1) {
    const type = bytes.readUInt16LE(at);
    const count = bytes.readUInt16LE(at + 2);
    at += 4;
    const privileges = new Map<number, number>();
    for (let i = 0; i < count; i += 1, at += 6) privileges.set(bytes.readUInt16LE(at), bytes.readUInt32LE(at + 2));
    if (type === CHAT) return privileges;
    const texts = TEXTS[type];
    if (texts === undefined) return undefined;
    for (let i = 0; i < texts; i += 1) at += 2 + readText(bytes, at).length;
  }
  return undefined;
}

function readText(bytes: Buffer, at: number): Buffer {
  const end = at + 2 + bytes.readUInt16LE(at);
  if (end > bytes.length) throw new RangeError('the text is longer than what is there');
  return bytes.subarray(at + 2, end);
}

const hmac = (key: Buffer, message: Buffer | string): Buffer => createHmac('sha256', key).update(message).digest();

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
