import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { EnforceConfig } from '../policy/config.ts';
import type { Denial } from '../policy/decision.ts';
import type { DestinationPolicy } from '../policy/destination.ts';
import type { Target } from '../policy/target.ts';
import type { AnonymousDownloads } from '../policy/config.ts';
import { checkToken, readToken, type Token } from '../policy/token.ts';
import { decide } from './decide.ts';
import type { Exchange } from './exchange.ts';

/** The policies on who may go where. */
export type AuthorizePolicy = {
  isAllowedDestination: DestinationPolicy;
  checkExpiry: boolean;
  anonymousDownloads: AnonymousDownloads;
  enforce: Pick<EnforceConfig, 'destinations' | 'tokens'>;
};

/** A token that may be tried; `isReported`: it would have been refused, and goes up to be judged there, and for nothing else. */
export type Shown = Token & { isReported?: true };

/** The phase that decides whether this bearer may go to this app at all, as far as that can be known without the upstream. */
export function authorize(
  req: IncomingMessage,
  { org, app }: Pick<Target, 'org' | 'app'>,
  policy: AuthorizePolicy,
  exchange: Exchange,
): Shown {
  authorizeApp({ org, app }, policy, exchange);
  return authorizeBearer(req, policy, exchange);
}

/** Its one half: whether this app may be reached through here. */
export function authorizeApp(
  { org, app }: Pick<Target, 'org' | 'app'>,
  policy: AuthorizePolicy,
  exchange: Exchange,
): void {
  decide(policy.enforce.destinations, policy.isAllowedDestination(org, app), exchange);
  exchange.app = `${org}/${app}`;
}

/** Its other half: whether there is a token that may be tried. */
export function authorizeBearer(req: IncomingMessage, policy: AuthorizePolicy, exchange: Exchange): Shown {
  const mode = policy.enforce.tokens;
  const token = readToken(req.headers.authorization);
  if ('allowed' in token) {
    decide(mode, token, exchange);
    return { ...NO_TOKEN, value: asItCame(req.headers.authorization, token), isReported: true };
  }
  if (!policy.checkExpiry || decide(mode, checkToken(token, exchange.startedAt), exchange)) return token;
  return { ...token, isReported: true };
}

const NO_TOKEN = { layout: 'unknown', kind: 'unknown', expiresAt: undefined } as const;

/** What stands behind "Bearer", whatever it is. Credentials of another scheme go nowhere: they may be for somebody else. */
const asItCame = (authorization: string | undefined, { code }: Denial): string =>
  code === 'TOKEN_MALFORMED' ? (authorization ?? '').replace(/^bearer */i, '') : '';

/** The same for a download; undefined for a reader who may come without a token. */
export function authorizeReader(
  req: IncomingMessage,
  target: Target,
  secretInQuery: string | undefined,
  policy: AuthorizePolicy,
  exchange: Exchange,
): Shown | undefined {
  if (!mayComeWithoutToken(req.headers, secretInQuery, policy)) return authorize(req, target, policy, exchange);
  authorizeApp(target, policy, exchange);
  return undefined;
}

/** Whether a download may do without a token: as the tags of web pages ask, which can only put a secret into the address. */
export const mayComeWithoutToken = (
  { authorization }: IncomingHttpHeaders,
  secretInQuery: string | undefined,
  { anonymousDownloads }: Pick<AuthorizePolicy, 'anonymousDownloads'>,
): boolean =>
  anonymousDownloads === 'withSecret' &&
  authorization === undefined &&
  secretInQuery !== undefined &&
  secretInQuery !== '';
