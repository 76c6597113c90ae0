/**
 * The PROXY protocol, versions 1 and 2: the few bytes in front of a connection in which a load balancer says whom it
 * speaks for (HAProxy's proxy-protocol.txt).
 *
 * A reader that takes too little for a header would take the rest of it for HTTP, and one that takes too much would
 * swallow a request. So nothing is guessed: a form that the specification does not name is broken.
 */
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Where the connection comes from, as the header says. */
export type ProxySource = { address: string; port: number };

/**
 * What the bytes so far hold: too little, until there are `atLeast` of them; something else than a header; or a header of
 * so many bytes, without a source where the balancer speaks for itself (a health check) or for what is no internet address.
 */
export type ProxyReading =
  | { kind: 'partial'; atLeast: number }
  | { kind: 'none' | 'broken'; reason: string }
  | { kind: 'header'; length: number; source?: ProxySource };

/** The first bytes of version 2, chosen so that no other protocol begins like this. */
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V1_START = Buffer.from('PROXY ', 'latin1');
/** The longest line of version 1, its end included. */
const V1_BYTES = 107;
/** The fixed part of version 2. */
const V2_HEAD = 16;
/** The longest rest of version 2 that is taken: addresses, and what balancers tell beside them. */
const V2_BYTES = 16 * 1024;

/** Reads a header at the start of a connection's bytes. */
export function readProxyHeader(bytes: Buffer): ProxyReading {
  if (startsLike(bytes, SIGNATURE)) return readBinary(bytes);
  if (startsLike(bytes, V1_START)) return readLine(bytes);
  return { kind: 'none', reason: 'the connection does not begin with a PROXY header' };
}

/** Whether the bytes begin like that, as far as there are any. */
const startsLike = (bytes: Buffer, start: Buffer): boolean => {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
};

const broken = (reason: string): ProxyReading => ({ kind: 'broken', reason });

function readLine(bytes: Buffer): ProxyReading {
  const end = bytes.subarray(0, V1_BYTES).indexOf('\r\n');
  if (end === -1) {
    return bytes.length < V1_BYTES
      ? { kind: 'partial', atLeast: bytes.length + 1 }
      : broken(`its line has more than ${V1_BYTES} bytes`);
  }
  const length = end + 2;
  const [, family = '', ...rest] = bytes.toString('latin1', 0, end).split(' ');
  // Whatever stands behind it is to be ignored.
  if (family === 'UNKNOWN') return { kind: 'header', length };
  const [from = '', to = '', fromPort = '', toPort = '', ...more] = rest;
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6WithoutZone : undefined;
  if (!isAddress) return broken('its family is none of TCP4, TCP6 and UNKNOWN');
  if (more.length > 0 || !isAddress(from) || !isAddress(to)) return broken('its addresses are not of its family');
  if (!isPort(fromPort) || !isPort(toPort)) return broken('its ports are no ports');
  return { kind: 'header', length, source: { address: from, port: Number(fromPort) } };
}

const isIPv6WithoutZone = (text: string): boolean => isIPv6(text) && !text.includes('%');

const isPort = (text: string): boolean => /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;

/** How many bytes the two addresses and the two ports of a family take. */
const ADDRESS_BYTES = [0, 12, 36, 216] as const;
const INET = 1;
const INET6 = 2;
const STREAM = 1;

function readBinary(bytes: Buffer): ProxyReading {
  if (bytes.length < V2_HEAD) return { kind: 'partial', atLeast: V2_HEAD };
  const [version, command] = nibbles(bytes.readUInt8(12));
  const [family, transport] = nibbles(bytes.readUInt8(13));
  const room = bytes.readUInt16BE(14);
  const addressBytes = ADDRESS_BYTES[family];
  if (version !== 2) return broken('its version is not 2');
  if (command > 1) return broken('its command is neither LOCAL nor PROXY');
  if (addressBytes === undefined || transport > 2) return broken('its address family or its transport is unknown');
  if (room > V2_BYTES) return broken(`it has more than ${V2_BYTES} bytes`);
  const isLocal = command === 0;
  // What a balancer says of a connection of its own is to be ignored, also its length.
  if (!isLocal && room < addressBytes) return broken('it is too short for its addresses');
  const length = V2_HEAD + room;
  if (bytes.length < length) return { kind: 'partial', atLeast: length };
  if (isLocal || transport !== STREAM || (family !== INET && family !== INET6)) return { kind: 'header', length };
  const size = family === INET ? 4 : 16;
  const address = ipaddr.fromByteArray([...bytes.subarray(V2_HEAD, V2_HEAD + size)]).toString();
  return { kind: 'header', length, source: { address, port: bytes.readUInt16BE(V2_HEAD + 2 * size) } };
}

const nibbles = (byte: number): [high: number, low: number] => [byte >> 4, byte & 15];
