import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  decodeEntry,
  decodeHead,
  decodeHeader,
  decodeScope,
  draft,
  encodeHead,
  encodeRecord,
  LIMITS,
} from '../../../src/cache/disk/record.ts';
import { entryOf, keyOf } from '../kit.ts';

const mark = Buffer.from('12345678');
const spot = { mark, offset: 4711 };
const put = (offset = spot.offset) => {
  const record = draft({ kind: 'put', key: keyOf(1), entry: entryOf(1) });
  if (!record) throw new Error('too large');
  return Buffer.concat(encodeRecord(record, { mark, offset }, 7));
};

describe('a record', () => {
  it('says the same when it is read', () => {
    const bytes = put();
    expect(decodeHeader(bytes, spot)).toMatchObject({ kind: 'put', voids: 7, bytes: bytes.length });
    expect(decodeEntry(bytes, spot, keyOf(1))).toEqual(entryOf(1));
  });

  it('is none in another place, under another mark or for another key', () => {
    expect(decodeHeader(put(), { mark, offset: 4712 })).toBeUndefined();
    expect(decodeHeader(put(), { mark: Buffer.from('12345679'), offset: 4711 })).toBeUndefined();
    expect(decodeEntry(put(), spot, keyOf(2))).toBeUndefined();
    expect(decodeEntry(put(), spot, { ...keyOf(1), variant: '' })).toBeUndefined();
  });

  it('is none with any bit of it changed, nor when it is shorter or longer', () => {
    const sound = put();
    for (let bit = 0; bit < sound.length * 8; bit += 1) {
      const bytes = Buffer.from(sound);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeEntry(bytes, spot, keyOf(1))).toBeUndefined();
    }
    for (const length of [0, 10, 44, sound.length - 1]) {
      expect(decodeEntry(sound.subarray(0, length), spot, keyOf(1))).toBeUndefined();
    }
    expect(decodeEntry(Buffer.concat([sound, Buffer.alloc(1)]), spot, keyOf(1))).toBeUndefined();
  });

  // Else a few bytes on the disk could ask for gigabytes of memory.
  it.each([
    ['key', 24, LIMITS.keyBytes],
    ['fields', 28, LIMITS.fieldBytes],
    ['body', 32, LIMITS.bodyBytes],
  ])('is none when it claims more for its %s than there may be, though its checksum is right', (_what, at, limit) => {
    const claim = (bytes: number) => {
      const record = put();
      record.writeUInt32BE(bytes, at);
      record.writeUInt32BE(crc32(record.subarray(0, 40), spot.offset), 40);
      return decodeHeader(record, spot);
    };
    expect(claim(limit)).toBeDefined();
    for (const bytes of [limit + 1, 2 ** 31, 2 ** 32 - 1]) expect(claim(bytes)).toBeUndefined();
  });

  it('of an erasure says whom it reaches, and is no entry', () => {
    for (const selector of [{}, { app: 'a/b' }, { app: 'a/b', file: 'c' }, keyOf(1)]) {
      const record = draft({ kind: 'erase', selector });
      const bytes = record && Buffer.concat(encodeRecord(record, spot, 0));
      const header = bytes && decodeHeader(bytes, spot);
      expect(bytes && header && decodeScope(bytes, header)).toEqual(selector);
      expect(bytes && decodeEntry(bytes, spot, keyOf(1))).toBeUndefined();
    }
  });
});

describe('the head of a segment', () => {
  it('is that of one number only, and none with any byte of it changed', () => {
    const head = { number: 17, voids: 3, mark };
    const bytes = encodeHead(head);
    expect(decodeHead(bytes, 17)).toEqual(head);
    expect(decodeHead(bytes, 18)).toBeUndefined();
    expect(decodeHead(bytes.subarray(1), 17)).toBeUndefined();
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 0x10;
      expect(decodeHead(changed, 17)).toBeUndefined();
    }
  });
});
