import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';
import type { Clock } from '../clock.ts';
import type { Outcome } from '../upstream/send.ts';
import { collect } from './collect.ts';

/** Far more than any answer has that somebody here looks into. */
const MAX_BYTES = 1024 * 1024;

/** Codings that an upstream may use though it was asked not to. */
const DECODERS: Readonly<Record<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
};

/** Reads a success whole and uncoded, if it is a short one; what it reads goes on with the outcome, byte for byte. */
export async function readWhole(
  outcome: Outcome,
  { clock, answer }: { clock: Clock; answer: { idleMs: number } },
): Promise<{ outcome: Outcome; whole: Buffer | undefined }> {
  if (outcome.kind !== 'answer' || outcome.status >= 300 || outcome.status === 206) {
    return { outcome, whole: undefined };
  }
  const { 'content-encoding': coding = 'identity', ...headers } = outcome.headers;
  const decode = DECODERS[coding.toLowerCase()];
  if (coding.toLowerCase() !== 'identity' && !decode) return { outcome, whole: undefined };
  const read = await collect(outcome.body, { maxBytes: MAX_BYTES, idleMs: answer.idleMs }, clock);
  if (read === undefined) return { outcome, whole: undefined };
  outcome.release();
  const whole = decode ? await decode(read, { maxOutputLength: MAX_BYTES }).catch(() => undefined) : read;
  // What is not what it says it is goes on as it came.
  if (whole === undefined) return { outcome: { ...outcome, whole: read }, whole };
  return { outcome: { ...outcome, headers, whole }, whole };
}

/** The fields of a JSON object; none when it is no such thing. Says nothing of why: that would quote what was read. */
export function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
