import { randomBytes } from 'node:crypto';

// 1582-10-15, where version 1 uuids begin to count, to 1970-01-01, in milliseconds.
const EPOCH_OFFSET_MS = 12_219_292_800_000n;
const TICKS_PER_MS = 10_000n;

const node = randomBytes(6);
const clockSequence = randomBytes(2);
// The multicast bit marks a node that is not a network card's address.
node[0] = (node[0] ?? 0) | 1;
clockSequence[0] = ((clockSequence[0] ?? 0) & 0x3f) | 0x80;

let lastTicks = 0n;

/** A fresh version 1 uuid of the given time, as its 16 bytes; two of the same time still differ. */
export function timeUuid(atMs: number): Buffer {
  const wanted = (BigInt(Math.floor(atMs)) + EPOCH_OFFSET_MS) * TICKS_PER_MS;
  // A burst within one millisecond counts on in ticks, so that no two are alike even when the clock stands or goes back.
  const ticks = wanted > lastTicks ? wanted : lastTicks + 1n;
  lastTicks = ticks;
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(Number(ticks & 0xffffffffn), 0);
  bytes.writeUInt16BE(Number((ticks >> 32n) & 0xffffn), 4);
  bytes.writeUInt16BE(Number((ticks >> 48n) & 0x0fffn) | 0x1000, 6);
  clockSequence.copy(bytes, 8);
  node.copy(bytes, 10);
  return bytes;
}

/** The usual text of a uuid's 16 bytes. */
export function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

/** The 16 bytes of a uuid's text. */
export const uuidBytes = (text: string): Buffer => Buffer.from(text.replaceAll('-', ''), 'hex');
