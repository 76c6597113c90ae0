import type { Request } from 'express';
import type { Access } from '../access/access.ts';
import { GatewayError } from '../errors.ts';
import { readToken, type Token } from '../policy/token.ts';
import { siblingHeaders } from '../upstream/headers.ts';
import { admitBody } from './admit.ts';
import { authorizeApp } from './authorize.ts';
import { letContinue } from './edge.ts';
import { forward } from './forward.ts';
import { limit } from './limit.ts';
import { openSibling } from './open.ts';
import { parseObject, readWhole } from './read-whole.ts';
import { respond } from './respond.ts';
import type { Handler } from './serve.ts';
import { pathOf, type SiblingDeps, takeSmall, unstored } from './sibling.ts';

/**
 * POST …/token: a login. It needs no token, so each address has few of them. Its body stays in memory and goes with the
 * exchange; nothing of it, or of what comes back, is written anywhere. The token that it brings is believed from then on.
 */
export const login =
  (deps: SiblingDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'login';
    const target = openSibling(req);
    if (target.app) authorizeApp(target.app, deps.authorize, exchange);
    const token = tokenOf(req);
    const maxBytes = deps.siblings.maxLoginBytes;
    const announcedBytes = admitBody(req, maxBytes);
    await limit(req, res, exchange, '', deps.siblings.loginLimit);
    letContinue(req, res);
    await using body = await takeSmall(req, { announcedBytes, maxBytes }, exchange, deps);
    const request = {
      method: 'POST',
      path: pathOf(target),
      headers: siblingHeaders(req.headers, token?.value),
      body: body.body,
    } as const;
    const bearer = deps.access.identify(exchange.app ?? '', token ?? NOBODY);
    const { outcome, sentAt } = await forward(deps, request, { kind: 'sibling', bearer, isTelling: false }, exchange);
    const read = await readWhole(outcome, deps);
    const isUsual = outcome.kind === 'answer' && outcome.status === 200;
    if (target.app && read.whole && isUsual) learnLogin(read.whole, exchange.app ?? '', sentAt, deps);
    await respond(unstored(read.outcome, exchange), req, res, exchange, deps);
  };

/** Whoever logs in without a token stands in line with all who have none that is known. */
const NOBODY = { value: '', kind: 'unknown', expiresAt: undefined } as const;

/** Some grants are asked for with a token. Whether it is still a good one is not judged here: that is what a login is for. */
function tokenOf(req: Request): Token | undefined {
  if ((req.headers.authorization ?? '') === '') return undefined;
  const token = readToken(req.headers.authorization);
  if ('allowed' in token) throw new GatewayError(token.code, { reason: token.reason });
  return token;
}

/** Learns the token that an answer to a login brings. */
function learnLogin(
  whole: Buffer,
  app: string,
  sentAt: number,
  { access, clock }: { access: Pick<Access, 'learnIssued'>; clock: SiblingDeps['clock'] },
): void {
  const { access_token: text, expires_in: lasts, expire_timestamp: endsAt } = parseObject(whole);
  const token = typeof text === 'string' ? readToken(`Bearer ${text}`) : undefined;
  if (!token || 'allowed' in token) return;
  // Some clusters give seconds, others milliseconds: whoever takes them for the shorter of the two believes nothing for long.
  const lastsMs = typeof endsAt === 'number' ? endsAt - clock.now() : typeof lasts === 'number' ? lasts : undefined;
  const { value, kind, expiresAt } = token;
  access.learnIssued(app, { value, kind, expiresAt, lastsMs }, sentAt);
}
