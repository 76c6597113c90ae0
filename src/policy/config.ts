import { z } from 'zod';
import { yesOrNo } from '../quantity.ts';
import { readRule, RULE_FORM } from './content-rules.ts';
import { isNeverReached, isPassthroughPattern } from './passthrough.ts';

/** What is checked of a client's token. */
export const tokensSchema = z.strictObject({
  checkExpiry: yesOrNo()
    .default(true)
    .describe('Refuse tokens whose own text says that they have expired, without asking Easemob.'),
  anonymousDownloads: z
    .enum(['deny', 'withSecret'], { error: 'must be deny or withSecret' })
    .default('deny')
    .describe(
      'Whether a download without a token goes on to Easemob if its address has a share-secret, as in web pages.',
    ),
});

const patternError = 'must be org/app, org/* or */*, like my-org/my-app';

/** Which orgs and apps may be reached. */
export const destinationsSchema = z
  .array(
    z
      .string({ error: patternError })
      .regex(/^(?:\*\/\*|(?!\.{1,2}\/)[A-Za-z0-9._~-]{1,128}\/(?:\*|(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}))$/, {
        error: patternError,
      }),
    { error: 'must be a list of org/app, org/* or */*' },
  )
  .min(1, { error: 'must list at least one org/app, or */* for all' })
  .max(10_000, { error: 'must list no more than 10000 apps' })
  .default(() => ['*/*'])
  .describe('The Easemob apps that may be reached through this gateway, as org/app, org/* or */* (all).');

const passthroughError =
  'must be a path below /{org}/{app}/ like token, users/* or users/**, ** for all of them, ' +
  'or one from the root like /api/sdk/v1/{org}/{app}/speech/* or /easemob/logger/devicelogs';

/** Which paths beside the files may go through. */
export const passthroughSchema = z
  .array(
    z
      .string({ error: passthroughError })
      .refine(isPassthroughPattern, { error: passthroughError, abort: true })
      .refine((text) => !isNeverReached(text), {
        error: 'would never be reached: files have addresses of their own, and token is written in small letters',
      }),
    { error: 'must be a list of paths like token or users/**' },
  )
  .max(1000, { error: 'must list no more than 1000 paths' })
  .default(() => [])
  .describe(
    'What else may go through beside the files: paths below /{org}/{app}/; ** for all of them. Empty: nothing.',
  );

const MODES = ['on', 'report'] as const;
const mode = (of: string) =>
  z
    .enum(MODES, { error: 'must be on or report' })
    .default('on')
    .describe(`Whether ${of}: on refuses, report lets it go on and writes down that it would have been refused.`);

/** Which policies bite, and which only tell. */
export const enforceSchema = z.strictObject({
  destinations: mode('an app that is not in destinations is refused'),
  tokens: mode('a request without a token, or with a malformed or an expired one, is refused'),
  content: mode('a file that the rules of content deny is refused'),
  scan: mode('a file in which clamd finds something, or that it cannot look at, is refused'),
});

/** What may be in the files that go up. */
export const contentSchema = z.strictObject({
  rules: z
    .array(
      z.string({ error: RULE_FORM }).refine((text) => readRule(text) !== undefined, { error: RULE_FORM }),
      { error: 'must be a list of rules like "allow image/*" or "deny .exe"' },
    )
    .max(1000, { error: 'must list no more than 1000 rules' })
    .default(() => [])
    .describe('What files may be, as rules of which the first that fits decides; what none fits is allowed.'),
  lyingExtensions: z
    .enum(['allow', 'deny'], { error: 'must be allow or deny' })
    .default('allow')
    .describe('What becomes of a file whose bytes are not what its extension says.'),
});

/** What is checked of a client's token, read. */
export type TokensConfig = z.output<typeof tokensSchema>;
/** Whether a download may come without a token. */
export type AnonymousDownloads = TokensConfig['anonymousDownloads'];
/** The patterns of the orgs and apps that may be reached. */
export type Destinations = z.output<typeof destinationsSchema>;
/** Whether a policy refuses, or only tells. */
export type Mode = (typeof MODES)[number];
/** The mode of each policy that has one. */
export type EnforceConfig = z.output<typeof enforceSchema>;
/** What may be in the files that go up. */
export type ContentConfig = z.output<typeof contentSchema>;
