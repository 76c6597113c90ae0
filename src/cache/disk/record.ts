/**
 * The bytes of a segment: a head, and then one record after another. Numbers are big-endian.
 *
 *     head    magic 8 · number 4 · voids 4 · mark 8 · checksum of these 4
 *     record  mark 8 · kind 4 · voids 4 · storedAt 8 · length of the key 4, the fields 4, the body 4
 *             · checksum of key, fields and body 4 · checksum of the header up to here 4 · key · fields · body
 *
 * 1. The mark is drawn for each segment. Whoever looks for the next record behind a damaged one looks for the mark, and
 *    nobody who may choose the bytes of a body can put a record of their own into it.
 * 2. The header's checksum begins with the record's offset: a whole record in another place is none.
 * 3. `voids` is how many records before this one have made older ones void: erasures, and entries that replace others.
 *    Where it jumps, such a record was lost to damage, and what is older can no longer be trusted.
 * 4. The key is part of the record, and compared when it is read: an index can then be small, and may be wrong.
 */
import { crc32 } from 'node:zlib';
import { type CacheKey, type Entry, isKey, partsOf, type Selector, selectorOf } from '../entry.ts';

/** What a record says: an entry, maybe in the place of an older one; or that all before it within reach is void. */
export type Content = { kind: 'put' | 'replace'; key: CacheKey; entry: Entry } | { kind: 'erase'; selector: Selector };

/** What the first bytes of a record say of the rest. */
export type Header = {
  kind: Content['kind'];
  voids: number;
  storedAt: number;
  keyBytes: number;
  fieldBytes: number;
  bodyBytes: number;
  checksum: number;
  /** Of the whole record, its header included. */
  bytes: number;
};

/** The segment's own mark, and where in it a record begins. */
export type Spot = { mark: Buffer; offset: number };

/** What the first bytes of a segment say. */
export type Head = { number: number; voids: number; mark: Buffer };

const MAGIC = Buffer.from('chatfil1');
export const HEAD_BYTES = 28;
export const MARK_BYTES = 8;
export const HEADER_BYTES = 44;

/** No record is larger than this, whatever its header says. */
export const LIMITS = { keyBytes: 4096, fieldBytes: 16_384, bodyBytes: 16 * 1024 ** 2 };

const KINDS: Content['kind'][] = ['put', 'replace', 'erase'];

/** Whether a record makes older ones void. */
export const isVoiding = (kind: Content['kind']): boolean => kind !== 'put';

/** The head of a segment, as bytes. */
export function encodeHead({ number, voids, mark }: Head): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32BE(number, 8);
  bytes.writeUInt32BE(voids, 12);
  mark.copy(bytes, 16);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 24)), 24);
  return bytes;
}

/** Reads the head of the segment with a given number; undefined if this is not one. */
export function decodeHead(bytes: Buffer, number: number): Head | undefined {
  if (bytes.length !== HEAD_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return undefined;
  if (bytes.readUInt32BE(24) !== crc32(bytes.subarray(0, 24)) || bytes.readUInt32BE(8) !== number) return undefined;
  return { number, voids: bytes.readUInt32BE(12), mark: Buffer.from(bytes.subarray(16, 24)) };
}

/** A record whose place is not known yet: what it takes to write it there. */
export type Draft = {
  kind: Content['kind'];
  storedAt: number;
  key: Buffer;
  fields: Buffer;
  body: Buffer;
  bytes: number;
};

const NOTHING = Buffer.alloc(0);

/** Makes a record ready to be written; undefined if it is larger than any may be. */
export function draft(content: Content): Draft | undefined {
  const isErasure = content.kind === 'erase';
  const key = Buffer.from(JSON.stringify(partsOf(isErasure ? content.selector : content.key)));
  const fields = isErasure ? NOTHING : Buffer.from(JSON.stringify(content.entry.fields));
  const body = isErasure ? NOTHING : content.entry.body;
  const isTooLarge =
    key.length > LIMITS.keyBytes || fields.length > LIMITS.fieldBytes || body.length > LIMITS.bodyBytes;
  if (isTooLarge) return undefined;
  const bytes = HEADER_BYTES + key.length + fields.length + body.length;
  return { kind: content.kind, storedAt: isErasure ? 0 : content.entry.storedAt, key, fields, body, bytes };
}

/** The bytes of a record for one spot and no other. */
export function encodeRecord(record: Draft, { mark, offset }: Spot, voids: number): Buffer[] {
  const { kind, storedAt, key, fields, body } = record;
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + key.length + fields.length);
  mark.copy(bytes);
  bytes.writeUInt32BE(KINDS.indexOf(kind) + 1, 8);
  bytes.writeUInt32BE(voids, 12);
  bytes.writeDoubleBE(storedAt, 16);
  bytes.writeUInt32BE(key.length, 24);
  bytes.writeUInt32BE(fields.length, 28);
  bytes.writeUInt32BE(body.length, 32);
  key.copy(bytes, HEADER_BYTES);
  fields.copy(bytes, HEADER_BYTES + key.length);
  bytes.writeUInt32BE(crc32(body, crc32(bytes.subarray(HEADER_BYTES))), 36);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 40), offset), 40);
  return body.length === 0 ? [bytes] : [bytes, body];
}

/** Reads the header at the beginning of some bytes that lie at a spot; undefined if this is none. */
export function decodeHeader(bytes: Buffer, { mark, offset }: Spot): Header | undefined {
  if (bytes.length < HEADER_BYTES || bytes.compare(mark, 0, MARK_BYTES, 0, MARK_BYTES) !== 0) return undefined;
  if (bytes.readUInt32BE(40) !== crc32(bytes.subarray(0, 40), offset)) return undefined;
  const kind = KINDS[bytes.readUInt32BE(8) - 1];
  const [keyBytes, fieldBytes, bodyBytes] = [bytes.readUInt32BE(24), bytes.readUInt32BE(28), bytes.readUInt32BE(32)];
  const isTooLarge = keyBytes > LIMITS.keyBytes || fieldBytes > LIMITS.fieldBytes || bodyBytes > LIMITS.bodyBytes;
  if (kind === undefined || isTooLarge) return undefined;
  return {
    kind,
    voids: bytes.readUInt32BE(12),
    storedAt: bytes.readDoubleBE(16),
    keyBytes,
    fieldBytes,
    bodyBytes,
    checksum: bytes.readUInt32BE(36),
    bytes: HEADER_BYTES + keyBytes + fieldBytes + bodyBytes,
  };
}

/** Whom a whole record is about; undefined if what follows its header is not what was written there. */
export function decodeScope(bytes: Buffer, header: Header): Selector | undefined {
  if (bytes.length !== header.bytes || crc32(bytes.subarray(HEADER_BYTES)) !== header.checksum) return undefined;
  const selector = selectorOf(parse(bytes.toString('utf8', HEADER_BYTES, HEADER_BYTES + header.keyBytes)));
  return selector && (header.kind === 'erase' || isKey(selector)) ? selector : undefined;
}

/** Reads an entry out of the bytes at a spot; undefined unless it is whole, and the one that was asked for. */
export function decodeEntry(bytes: Buffer, spot: Spot, key: CacheKey): Entry | undefined {
  const header = decodeHeader(bytes, spot);
  const found = header && decodeScope(bytes, header);
  if (!found || header.kind === 'erase') return undefined;
  if (found.app !== key.app || found.file !== key.file || found.variant !== key.variant) return undefined;
  const bodyAt = HEADER_BYTES + header.keyBytes + header.fieldBytes;
  const fields = parse(bytes.toString('utf8', HEADER_BYTES + header.keyBytes, bodyAt));
  if (!isFields(fields)) return undefined;
  return { storedAt: header.storedAt, fields, body: bytes.subarray(bodyAt) };
}

const isFields = (value: unknown): value is Record<string, string> =>
  typeof value === 'object' && value !== null && Object.values(value).every((field) => typeof field === 'string');

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
