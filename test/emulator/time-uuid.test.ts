import { expect, test } from 'vitest';
import { timeUuid, uuidBytes, uuidText } from '../../src/emulator/time-uuid.ts';

const ticksOf = (bytes: Buffer): bigint => {
  const high = BigInt(bytes.readUInt16BE(6) & 0x0fff);
  return (high << 48n) | (BigInt(bytes.readUInt16BE(4)) << 32n) | BigInt(bytes.readUInt32BE(0));
};

test('a uuid carries its time, version and variant', () => {
  const at = Date.UTC(2050, 4, 28, 13, 22, 0, 639);
  const bytes = timeUuid(at);
  expect(ticksOf(bytes) / 10_000n - 12_219_292_800_000n).toBe(BigInt(at));
  expect(uuidText(bytes)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuidBytes(uuidText(bytes))).toEqual(bytes);
});

test('uuids of one standing millisecond, and of a clock that goes back, all differ', () => {
  const times = [
    ...Array.from({ length: 20_000 }, () => 5_000_000_000_000),
    ...Array.from({ length: 100 }, () => 1000),
  ];
  expect(new Set(times.map((at) => timeUuid(at).toString('hex'))).size).toBe(times.length);
});
