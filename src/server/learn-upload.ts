import type { Access } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import type { Clock } from '../clock.ts';
import { isFileName } from '../policy/target.ts';
import type { Outcome } from '../upstream/send.ts';
import { collect } from './collect.ts';
import type { Forwarded } from './forward.ts';

/** More than any answer to an upload has. */
const MAX_BYTES = 64 * 1024;

/** A file that an upload's answer names, and its secret, if it has one. */
export type UploadedFile = { uuid: string; secret: string | undefined };

/**
 * Reads the answer to an upload, and learns which files need no secret: those that the answer names without one. What it
 * reads goes on with the outcome, byte for byte; `files` are those that it names.
 */
export async function learnUpload(
  { outcome, sentAt }: Forwarded,
  { app }: Bearer,
  { access, clock, answer }: { access: Pick<Access, 'learnUpload'>; clock: Clock; answer: { idleMs: number } },
): Promise<{ outcome: Outcome; files: UploadedFile[] }> {
  if (outcome.kind !== 'answer' || outcome.status !== 200) return { outcome, files: [] };
  if (outcome.headers['content-encoding'] !== undefined) return { outcome, files: [] };
  const whole = await collect(outcome.body, { maxBytes: MAX_BYTES, idleMs: answer.idleMs }, clock);
  if (whole === undefined) return { outcome, files: [] };
  outcome.release();
  const files = filesIn(whole);
  for (const { uuid, secret } of files) access.learnUpload(app, uuid, secret, sentAt);
  return { outcome: { ...outcome, whole }, files };
}

/** The files that an upload's answer names, as far as it has the shape that Easemob documents. */
function filesIn(body: Buffer): UploadedFile[] {
  const { entities } = parse(body);
  if (!Array.isArray(entities)) return [];
  return (entities as unknown[]).flatMap((entity): UploadedFile[] => {
    if (typeof entity !== 'object' || entity === null) return [];
    const { uuid, 'share-secret': secret } = entity as Record<string, unknown>;
    if (typeof uuid !== 'string' || !isFileName(uuid)) return [];
    if (secret === undefined || secret === null) return [{ uuid, secret: undefined }];
    // Whatever else is there in its place is taken for a secret, though nobody could send it.
    return [{ uuid, secret: typeof secret === 'string' && secret !== '' ? secret : JSON.stringify(secret) }];
  });
}

function parse(body: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
