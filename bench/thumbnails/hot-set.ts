/**
 * What is asked for: made-up files of one app, their secrets and bytes, and the tokens of those who ask. All of it is
 * made from numbers, so that each process knows the same without being told.
 */
import { hash } from 'node:crypto';

/** The app whose files they are. */
export const APP = 'bench-org/bench-app';

/** The bytes of one thumbnail: a small picture's, as chats show them. */
export const BODY_BYTES = 4096;

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');

/** The uuid of a file. */
export const fileOf = (index: number): string => `${hex(index, 8)}-0000-11ef-8000-000000000000`;

/** The path of a file. */
export const pathOf = (index: number): string => `/${APP}/chatfiles/${fileOf(index)}`;

/** The number of the file that a path names; NaN if it names none. */
export const indexOf = (path: string): number => Number.parseInt(path.slice(PREFIX.length, PREFIX.length + 8), 16);
const PREFIX = `/${APP}/chatfiles/`;

/** A file's secret. */
export const secretOf = (index: number): string => hash('sha256', `secret ${index}`, 'base64url').slice(0, 24);

/** A thumbnail: it begins like a JPEG, and names its file. */
export function bodyOf(index: number): Buffer {
  const body = Buffer.alloc(BODY_BYTES, `${fileOf(index)} `);
  body.set([0xff, 0xd8, 0xff, 0xe0]);
  return body;
}

/** The entity tag under which the upstream has a thumbnail. */
export const etagOf = (index: number): string => `"${fileOf(index)}"`;

const ISSUED_AT = Date.UTC(2026, 0, 1);

/** A user's token in the layout of today, 130 characters. It has no end, so that it is the same in every process. */
export function tokenOf(index: number): string {
  const bytes = Buffer.alloc(94, hash('sha256', `token ${index}`, 'buffer'));
  bytes[48] = 3;
  bytes[49] = 3;
  bytes.writeBigInt64BE(BigInt(ISSUED_AT), 50);
  bytes.writeUInt32BE(0, 58);
  return `YWMt${bytes.toString('base64url')}`;
}

/** The fields of a request for a thumbnail. */
export const fieldsOf = (file: number, token: string): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  'share-secret': secretOf(file),
  thumbnail: 'true',
  accept: '*/*',
});
