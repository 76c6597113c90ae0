import type { Access } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import type { Clock } from '../clock.ts';
import { isFileName } from '../policy/target.ts';
import type { Outcome } from '../upstream/send.ts';
import type { Forwarded } from './forward.ts';
import { parseObject, readWhole } from './read-whole.ts';

/** A file that an upload's answer names, and its secret, if it has one. */
export type UploadedFile = { uuid: string; secret: string | undefined };

/**
 * Reads the answer to an upload, and learns which files need no secret: those that the answer names without one. What it
 * reads goes on with the outcome, byte for byte; `files` are those that it names.
 */
export async function learnUpload(
  { outcome, sentAt }: Forwarded,
  { app, isReported }: Bearer,
  { access, clock, answer }: { access: Pick<Access, 'learnUpload'>; clock: Clock; answer: { idleMs: number } },
): Promise<{ outcome: Outcome; files: UploadedFile[] }> {
  const read = await readWhole(outcome, { clock, answer });
  const isUsual = outcome.kind === 'answer' && outcome.status === 200;
  const files = read.whole && isUsual ? filesIn(read.whole) : [];
  if (!isReported) for (const { uuid, secret } of files) access.learnUpload(app, uuid, secret, sentAt);
  return { outcome: read.outcome, files };
}

/** The files that an upload's answer names, as far as it has the shape that Easemob documents. */
export function filesIn(body: Buffer): UploadedFile[] {
  const { entities } = parseObject(body);
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
