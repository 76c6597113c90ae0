import { ApiError } from './errors.ts';
import type { RefusalCode } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { Principal, TokenVerdict, Tokens } from './tokens.ts';

const BEARER = /^bearer\s+(\S+)\s*$/i;

const REFUSAL_OF = {
  malformed: 'TOKEN_MALFORMED',
  foreign: 'TOKEN_FOREIGN',
  expired: 'TOKEN_EXPIRED',
  unknown: 'TOKEN_UNKNOWN',
} as const satisfies Record<Extract<TokenVerdict, { ok: false }>['reason'], RefusalCode>;

/** The token of a request: the query's `access_token` goes before the header, as in Usergrid. */
export function tokenOf({ req, target }: Exchange): string | undefined {
  const inQuery = target.query.get('access_token');
  if (inQuery !== null && inQuery !== '') return inQuery;
  return BEARER.exec(req.headers.authorization ?? '')?.[1];
}

/** Whom the request speaks for; refuses it when its token is not one of this app that holds. */
export function authenticate(exchange: Exchange, tokens: Tokens, org: string, app: string): Principal {
  const token = tokenOf(exchange);
  if (token === undefined) throw new ApiError('TOKEN_MISSING');
  const verdict = tokens.verify(token, org, app);
  if (!verdict.ok) throw new ApiError(REFUSAL_OF[verdict.reason]);
  return verdict.principal;
}
