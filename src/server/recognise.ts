import type { Access } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import { GatewayError } from '../errors.ts';
import type { Token } from '../policy/token.ts';
import type { Exchange } from './exchange.ts';

/**
 * The phase that finds out what the upstream has lately said of this bearer, to this replica or another. One that was
 * refused a moment ago is refused again, and costs nothing.
 */
export async function recognise(
  access: Pick<Access, 'identify' | 'lookUp' | 'refusalOf'>,
  { app = '' }: Exchange,
  token: Token,
): Promise<Bearer> {
  const bearer = access.identify(app, token);
  await access.lookUp(bearer);
  refuseAgain(access, bearer);
  return bearer;
}

/** Refuses a bearer that the upstream refused a moment ago. */
export function refuseAgain(access: Pick<Access, 'refusalOf'>, bearer: Bearer): void {
  const refusal = access.refusalOf(bearer);
  if (refusal === undefined) return;
  const code = refusal === 'service-forbidden' ? 'SERVICE_FORBIDDEN' : 'TOKEN_REFUSED';
  throw new GatewayError(code, { reason: 'the upstream refused this token a moment ago' });
}
