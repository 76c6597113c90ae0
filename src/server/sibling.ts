import type { Request } from 'express';
import type { Bearer } from '../access/bearer.ts';
import { GatewayError } from '../errors.ts';
import type { Sibling } from '../policy/passthrough.ts';
import type { PartSums } from '../quota/part-sums.ts';
import { siblingHeaders } from '../upstream/headers.ts';
import type { Method, Outcome } from '../upstream/send.ts';
import type { Spool } from '../upstream/spool.ts';
import { admitBody } from './admit.ts';
import { authorizeApp, authorizeBearer, type AuthorizePolicy, type Shown } from './authorize.ts';
import { letContinue } from './edge.ts';
import type { Exchange } from './exchange.ts';
import { forward, type ForwardDeps } from './forward.ts';
import { type InspectDeps, refuseFiles } from './inspect.ts';
import { limit, type LimitRules } from './limit.ts';
import { openSibling } from './open.ts';
import { recognise } from './recognise.ts';
import { respond, type RespondDeps } from './respond.ts';
import type { Handler } from './serve.ts';
import { takeBody, type TakeDeps, type TakeLimits } from './take-body.ts';

/** What the paths beside the files need on their way. */
export type SiblingDeps = RespondDeps &
  ForwardDeps &
  Pick<InspectDeps, 'inspect'> & {
    authorize: AuthorizePolicy;
    limit: LimitRules;
    body: TakeDeps['body'];
    siblings: {
      /** Where their bodies wait: in memory, and nowhere else. */
      spool: Spool;
      maxBytes: number;
      maxLoginBytes: number;
      loginLimit: LimitRules;
      parts: PartSums;
    };
  };

/** Any other path that the operator has named: its body is small, and waits in memory. */
export const sibling =
  (deps: SiblingDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'sibling';
    const { target, token, bearer } = await admitSibling(req, exchange, deps);
    refuseFiles(req, target.app, exchange, deps);
    const announcedBytes = admitBody(req, deps.siblings.maxBytes);
    await limit(req, res, exchange, token.value, deps.limit);
    letContinue(req, res);
    const { maxBytes } = deps.siblings;
    await using body = hasBody(req) ? await takeSmall(req, { announcedBytes, maxBytes }, exchange, deps) : undefined;
    const request = {
      method: methodOf(req),
      path: pathOf(target),
      headers: siblingHeaders(req.headers, token.value),
      ...(body && { body: body.body }),
    };
    const { outcome } = await forward(deps, request, { kind: 'sibling', bearer, isTelling: false }, exchange);
    await respond(unstored(outcome, exchange), req, res, exchange, deps);
  };

/** Who asks for a path beside the files, and for which. */
export type AdmittedSibling = { target: Sibling; token: Shown; bearer: Bearer };

/** The phases that all of them begin with: open, authorize, recognise. */
export async function admitSibling(
  req: Request,
  exchange: Exchange,
  deps: Pick<SiblingDeps, 'authorize' | 'access'>,
): Promise<AdmittedSibling> {
  const target = openSibling(req);
  // A path without an app is one that the operator has named as a whole: there is no list to ask.
  if (target.app) authorizeApp(target.app, deps.authorize, exchange);
  const token = authorizeBearer(req, deps.authorize, exchange);
  return { target, token, bearer: await recognise(deps.access, exchange, token) };
}

/** Takes a small body into memory, to be let go when its scope ends. */
export const takeSmall = (
  req: Request,
  limits: TakeLimits,
  exchange: Exchange,
  { siblings, body, clock }: Pick<SiblingDeps, 'siblings' | 'body' | 'clock'>,
): ReturnType<typeof takeBody> => takeBody(req, limits, exchange, { spool: siblings.spool, body, clock });

/** The address of a path beside the files at the upstream, as it was judged. */
export const pathOf = ({ path, query }: Sibling): string => (query === '' ? path : `${path}?${query}`);

/**
 * What these paths say is about somebody: no cache on the way is to keep it. And it is said here: nobody is sent elsewhere
 * with a login, or what else is no file.
 */
export function unstored(outcome: Outcome, exchange: Exchange): Outcome {
  if (outcome.kind !== 'answer') return outcome;
  const { status, headers, body, release } = outcome;
  if (status >= 300 && status !== 304) {
    exchange.upstreamStatus = status;
    body.destroy();
    release();
    throw new GatewayError('UPSTREAM_REDIRECT', { reason: `the upstream answered ${status}` });
  }
  return { ...outcome, headers: { ...headers, 'cache-control': 'no-store', expires: undefined, age: undefined } };
}

const METHODS: ReadonlySet<string> = new Set<Method>(['GET', 'POST', 'PUT', 'DELETE']);
const isMethod = (method: string): method is Method => METHODS.has(method);

/** How the upstream is asked: HEAD by GET, as with files. */
export function methodOf(req: Request): Method {
  const method = req.method === 'HEAD' ? 'GET' : req.method;
  if (!isMethod(method)) throw new GatewayError('METHOD_NOT_ALLOWED', { reason: 'no method of these paths' });
  return method;
}

const hasBody = ({ method }: Request): boolean => method !== 'GET' && method !== 'HEAD';
