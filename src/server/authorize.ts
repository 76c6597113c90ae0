import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import { enforce } from '../policy/decision.ts';
import type { DestinationPolicy } from '../policy/destination.ts';
import type { Target } from '../policy/target.ts';
import type { AnonymousDownloads } from '../policy/config.ts';
import { checkToken, readToken, type Token } from '../policy/token.ts';
import type { Exchange } from './exchange.ts';

/** The policies on who may go where. */
export type AuthorizePolicy = {
  isAllowedDestination: DestinationPolicy;
  checkExpiry: boolean;
  anonymousDownloads: AnonymousDownloads;
};

/** The phase that decides whether this bearer may go to this app at all, as far as that can be known without the upstream. */
export function authorize(
  req: Pick<IncomingMessage, 'headers'>,
  { org, app }: Pick<Target, 'org' | 'app'>,
  policy: AuthorizePolicy,
  exchange: Exchange,
): Token {
  authorizeApp({ org, app }, policy, exchange);
  return authorizeBearer(req, policy, exchange);
}

/** Its one half: whether this app may be reached through here. */
export function authorizeApp(
  { org, app }: Pick<Target, 'org' | 'app'>,
  policy: AuthorizePolicy,
  exchange: Exchange,
): void {
  enforce(policy.isAllowedDestination(org, app));
  exchange.app = `${org}/${app}`;
}

/** Its other half: whether there is a token that may be tried. */
export function authorizeBearer(
  req: Pick<IncomingMessage, 'headers'>,
  policy: AuthorizePolicy,
  exchange: Exchange,
): Token {
  const token = readToken(req.headers.authorization);
  if ('allowed' in token) throw new GatewayError(token.code, { reason: token.reason });
  if (policy.checkExpiry) enforce(checkToken(token, exchange.startedAt));
  return token;
}

/** The same for a download; undefined for a reader who may come without a token. */
export function authorizeReader(
  req: Pick<IncomingMessage, 'headers'>,
  target: Target,
  secretInQuery: string | undefined,
  policy: AuthorizePolicy,
  exchange: Exchange,
): Token | undefined {
  if (!mayComeWithoutToken(req.headers, secretInQuery, policy)) return authorize(req, target, policy, exchange);
  enforce(policy.isAllowedDestination(target.org, target.app));
  exchange.app = `${target.org}/${target.app}`;
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
