import { z } from 'zod';
import { whole } from '../quantity.ts';

const app = z
  .string({ error: 'must have an app, as org/app' })
  .regex(/^[^/\s=]+\/[^/\s=]+$/, { error: 'must have an app, as org/app' });
const text = (name: string) =>
  z
    .string({ error: `must have a ${name}` })
    .min(1, { error: `must have a ${name}` })
    .max(512, { error: `must have a ${name} of at most 512 characters` });
const hex32 = (name: string) => {
  const error = `must have a ${name} of 32 hexadecimal digits`;
  return z.string({ error }).regex(/^[0-9A-Fa-f]{32}$/, { error });
};

const agoraKeys = z.strictObject({ app, appId: hex32('appId'), certificate: hex32('certificate') });
const easemobKeys = z.strictObject({ app, clientId: text('clientId'), clientSecret: text('clientSecret') });

// An app with its two keys is a section, or one text, which fits into a variable.
const formError = (first: string, second: string) =>
  `must be a section with app, ${first} and ${second}, or a text like org/app=${first}:${second}`;
const keysInText = (error: string) =>
  z
    .string({ error })
    .regex(/^[^=]+=[^:]+:.+$/s, { error })
    .transform((value) => {
      const [equals, colon] = [value.indexOf('='), value.indexOf(':')];
      return [value.slice(0, equals), value.slice(equals + 1, colon), value.slice(colon + 1)] as const;
    });
const agoraError = formError('appId', 'certificate');
const agora = z.union(
  [
    keysInText(agoraError)
      .transform(([app, appId, certificate]) => ({ app, appId, certificate }))
      .pipe(agoraKeys),
    agoraKeys,
  ],
  { error: agoraError },
);
const easemobError = formError('clientId', 'clientSecret');
const easemob = z.union(
  [
    keysInText(easemobError)
      .transform(([app, clientId, clientSecret]) => ({ app, clientId, clientSecret }))
      .pipe(easemobKeys),
    easemobKeys,
  ],
  { error: easemobError },
);
const listError = 'must be a list';

/** How long the upstream's word about who may see what is believed, and which tokens need not wait for it. */
export const accessSchema = z.strictObject({
  grantSeconds: whole(0, 86_400)
    .default(300)
    .describe("How long, in seconds, Easemob's leave to see a file holds for the same token without asking again."),
  graceSeconds: whole(0, 86_400)
    .default(0)
    .describe('How much longer, in seconds, that leave holds while Easemob cannot be reached.'),
  refusalSeconds: whole(0, 60)
    .default(5)
    .describe('How long, in seconds, a token that Easemob refused is refused without asking again.'),
  verify: z
    .strictObject({
      agora: z
        .array(agora, { error: listError })
        .max(1000)
        .default(() => [])
        .describe("Apps whose Agora tokens are verified here, by the project's App ID and App Certificate.")
        .meta({ secret: true }),
      easemob: z
        .array(easemob, { error: listError })
        .max(1000)
        .default(() => [])
        .describe("Apps whose dynamic tokens are verified here, by the app's Client ID and Client Secret.")
        .meta({ secret: true }),
    })
    .prefault({}),
});

const digestKeyError =
  'must be a text of 32 to 512 characters, the same at all replicas, like 32 random bytes in base64';

/** What must not be known outside. */
export const secretsSchema = z.strictObject({
  digestKey: z
    .string({ error: digestKeyError })
    .min(32, { error: digestKeyError })
    .max(512, { error: digestKeyError })
    .optional()
    .describe('The key under which replicas tell each other, through Redis, which tokens Easemob accepted.')
    .meta({ secret: true }),
});

/** How long the upstream's word is believed, and which tokens prove themselves. */
export type AccessConfig = z.output<typeof accessSchema>;
/** The keys by which tokens are verified here. */
export type VerifyConfig = AccessConfig['verify'];
/** What must not be known outside. */
export type SecretsConfig = z.output<typeof secretsSchema>;
