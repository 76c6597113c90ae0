import type { Access, Asked } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import { GatewayError } from '../errors.ts';
import type { Shown } from './authorize.ts';
import type { Exchange } from './exchange.ts';

type Known = Pick<Access, 'identify' | 'identifyReported' | 'lookUp' | 'refusalOf'>;

/**
 * The phase that finds out what the upstream has lately said of this bearer, to this replica or another. One that was
 * refused a moment ago is refused again, and costs nothing.
 */
export const recognise = (access: Known, { app = '' }: Exchange, token: Shown): Promise<Bearer> =>
  unlessRefused(access, identify(access, app, token));

/** The same for a download, whose reader may have no token. */
export const recogniseReader = (
  access: Known & Pick<Access, 'identifyNobody'>,
  { app = '' }: Exchange,
  token: Shown | undefined,
  asked: Asked,
): Promise<Bearer> => unlessRefused(access, token ? identify(access, app, token) : access.identifyNobody(app, asked));

const identify = (access: Known, app: string, token: Shown): Bearer =>
  token.isReported ? access.identifyReported(app, token.value) : access.identify(app, token);

async function unlessRefused(access: Known, bearer: Bearer): Promise<Bearer> {
  await access.lookUp(bearer);
  refuseAgain(access, bearer);
  return bearer;
}

/** Refuses a bearer that the upstream refused a moment ago. */
export function refuseAgain(access: Pick<Access, 'refusalOf'>, bearer: Bearer): void {
  const refusal = access.refusalOf(bearer);
  if (refusal === undefined) return;
  const code = refusal === 'service-forbidden' ? 'SERVICE_FORBIDDEN' : 'TOKEN_REFUSED';
  throw new GatewayError(code, { reason: 'the upstream refused these credentials a moment ago' });
}
