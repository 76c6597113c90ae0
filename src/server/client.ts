/**
 * Who is the client: the address it comes from, as far as proxies in front are believed, and the key it is counted by.
 */
import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { Request } from 'express';
import ipaddr from 'ipaddr.js';

/** What clients are told apart by. */
export type ClientBy = 'address' | 'token' | 'app';

/** The key that a request's client is counted by; holds no token, and is the same on all replicas. */
export type ClientKey = (address: string, app: string, token: string) => string;

/**
 * Makes keys that tell clients apart by one thing; keys of different kinds never meet. Tokens and apps count only once
 * they are proven, and by the address until then: made-up ones cost nothing, and each would be a client of its own.
 */
export function createClientKey(
  by: ClientBy,
  isProven: (app: string, token: string) => boolean = () => true,
): ClientKey {
  const byAddress = (address: string) => `address:${networkOf(address)}`;
  if (by === 'address') return byAddress;
  return (address, app, token) => {
    if (!isProven(app, token)) return byAddress(address);
    // A name may be long, and may be a token that somebody put into the path.
    return by === 'token' ? `token:${digest(token)}` : `app:${digest(app)}`;
  };
}

/**
 * The key of the digests is a label that sets them apart from any other use of the same text, and no secret: all
 * replicas must come to the same digest. That a token cannot be guessed from it is due to the token's own length.
 */
const digest = (text: string): string =>
  createHmac('sha256', 'chatfiles-gateway client key').update(text).digest('base64url').slice(0, 24);

/**
 * The network that one subscriber has: an IPv4 address, or the /64 of an IPv6 address, since whoever has one of its
 * addresses has them all. IPv4 addresses in IPv6 clothing (mapped, or translated by RFC 6052) are themselves.
 */
export const networkOf = remembered((address: string): string => {
  const parsed = parseAddress(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed?.toString() ?? 'unknown';
  const [a = 0, b = 0, c = 0, d = 0, , , g = 0, h = 0] = parsed.parts;
  if (parsed.range() === 'rfc6052') return [g >> 8, g & 255, h >> 8, h & 255].join('.');
  return `${new ipaddr.IPv6([a, b, c, d, 0, 0, 0, 0]).toString()}/64`;
});

/** Reads an address as proxies write it, some with a port behind; undefined when it is none. */
export const readAddress = remembered((text: string): string | undefined => {
  const [, bracketed, dotted] = /^(?:\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(text.trim()) ?? [];
  return parseAddress(bracketed ?? dotted ?? text.trim())?.toString();
});

/**
 * The address of a request's client: of all that the field names, the right-most that is no trusted proxy; the peer's
 * where nobody is trusted or the field holds no address. To be read early: a socket that is gone forgets its peer.
 */
export function addressOf({ headers, socket }: IncomingMessage, trusts: Trusts): string {
  const peer = socket.remoteAddress ?? '';
  const named = headers['x-forwarded-for'];
  const hops = typeof named === 'string' && named !== '' ? named.split(',').toReversed() : [];
  // From hop to hop away from here, until one is not trusted; the last that is named is it in any case.
  let address = peer;
  for (const [i, next] of hops.entries()) {
    if (!trusts(address.trim(), i)) break;
    address = next;
  }
  return readAddress(address) ?? readAddress(peer) ?? 'unknown';
}

/** Whether an address, so many hops away, is a trusted proxy (as Express compiles it from its setting). */
export type Trusts = (address: string, hop: number) => boolean;

/** Takes a look at a request, and warns of the first whose word on its client is not taken. */
export type ForwardedWatch = (req: Request) => void;

/**
 * Watches for a forgotten `trustedProxies`, which makes all who come through one proxy one client. Warns once: a client
 * that sends such a field itself must not be able to fill the log.
 */
export function createForwardedWatch(warn: (message: string, details: object) => void): ForwardedWatch {
  let hasWarned = false;
  return (req) => {
    if (hasWarned) return;
    const peer = req.socket.remoteAddress ?? '';
    const trusts = req.app.get('trust proxy fn') as Trusts;
    const isTrusted = trusts(peer, 0);
    const field = ignoredField(req.headers, isTrusted);
    if (field === undefined) return;
    hasWarned = true;
    const why = isTrusted
      ? 'a trusted proxy names its client in this field, but only in X-Forwarded-For it is read'
      : 'a field that names the client is ignored, for it comes from an address that is not in trustedProxies';
    warn(`${why}: if that is your proxy, all who come through it count as one client`, {
      field,
      peer: readAddress(peer) ?? 'unknown',
    });
  };
}

const FORWARDED = ['x-forwarded-for', 'forwarded', 'x-real-ip'] as const;

/** The field of a request that names its client without being believed, if any. */
export function ignoredField(headers: IncomingHttpHeaders, isTrusted: boolean): string | undefined {
  if (isTrusted && headers['x-forwarded-for'] !== undefined) return undefined;
  return FORWARDED.find((name) => headers[name] !== undefined);
}

const MAX_REMEMBERED = 10_000;

/** The same addresses come again and again, and parsing one takes longer than all else that is asked of it. */
function remembered<Result>(read: (text: string) => Result): (text: string) => Result {
  const known = new Map<string, Result>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined || known.has(text)) return before as Result;
    if (known.size >= MAX_REMEMBERED) known.clear();
    const result = read(text);
    // What is no address may be long.
    if (text.length <= 64) known.set(text, result);
    return result;
  };
}

function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  // The parser alone would also take 1, 0x7f.1 and the like. A zone is the listener's business, no part of the address.
  const bare = text.replace(/%.*$/s, '');
  return isIP(bare) ? ipaddr.process(bare) : undefined;
}
