import type { Clock } from '../clock.ts';
import type { Outcome } from '../upstream/send.ts';
import { collect } from './collect.ts';

/** More than any answer has that somebody here looks into. */
const MAX_BYTES = 64 * 1024;

/** Reads a 200 whole, if it is a short one; what it reads goes on with the outcome, byte for byte. */
export async function readWhole(
  outcome: Outcome,
  { clock, answer }: { clock: Clock; answer: { idleMs: number } },
): Promise<{ outcome: Outcome; whole: Buffer | undefined }> {
  if (outcome.kind !== 'answer' || outcome.status !== 200 || outcome.headers['content-encoding'] !== undefined) {
    return { outcome, whole: undefined };
  }
  const whole = await collect(outcome.body, { maxBytes: MAX_BYTES, idleMs: answer.idleMs }, clock);
  if (whole === undefined) return { outcome, whole };
  outcome.release();
  return { outcome: { ...outcome, whole }, whole };
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
