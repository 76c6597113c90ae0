import { z } from 'zod';
import { byteSize, whole, yesOrNo } from '../quantity.ts';

const toError = 'must be off, stdout, stderr, or the absolute path of a file like /var/log/chatfiles/audit.log';
const EVERY = ['never', 'hour', 'day'] as const;

/** Where it is written down who moved which file, and in which detail. */
export const auditSchema = z.strictObject({
  to: z
    .string({ error: toError })
    .regex(/^(?:off|stdout|stderr|\/[^\0]*[^/\0])$/, { error: toError })
    .default('off')
    .describe('Where the lines go that say who moved which file: off, stdout, stderr, or the path of a file.'),
  digest: yesOrNo().default(false).describe('Whether lines have the SHA-256 of what was moved.').meta({ reload: true }),
  fileNames: yesOrNo()
    .default(false)
    .describe('Whether lines have the names that clients give to their files.')
    .meta({ reload: true }),
  required: yesOrNo()
    .default(false)
    .describe('Whether files are refused (503) while the lines cannot be written.')
    .meta({ reload: true }),
  rotateBytes: byteSize(1024)
    .default(100 * 1024 ** 2)
    .describe('How large the file may become before a new one is begun.'),
  rotateEvery: z
    .enum(EVERY, { error: `must be one of ${EVERY.join(', ')}` })
    .default('day')
    .describe('How often a new file is begun anyway: never, hour or day (UTC).'),
  keepFiles: whole(1, 1000).default(14).describe('How many full files are kept: the oldest goes first.'),
});

/** Where it is written down who moved which file. */
export type AuditConfig = z.output<typeof auditSchema>;
