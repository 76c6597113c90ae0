import type { Request, Response } from 'express';
import { GatewayError } from '../errors.ts';
import type { ClientLimit } from '../quota/client-limit.ts';
import type { LocalCount } from '../quota/local-count.ts';
import type { ClientKey, ForwardedWatch } from './client.ts';
import type { Exchange } from './exchange.ts';
import { limitFields } from './told.ts';

/** The limit of each client, who counts as one, and how a refusal is worded. */
export type LimitRules = {
  count: Pick<ClientLimit, 'consume'>;
  /** The length of the limit's window. */
  seconds: number;
  /** 503 as Easemob has it documented, or 429 as its newer plans answer. */
  status: number;
  keyOf: ClientKey;
  /** What an address may have answered from the cache, and what stands for an address (IPv6 by /64). */
  local: LocalCount;
  addressOf: (address: string) => string;
  watchForwarded: ForwardedWatch;
};

/** The phase that guards what costs no request to the upstream: generously, by address, at this replica alone. */
export async function limitLocal(req: Request, { client }: Exchange, rules: LimitRules): Promise<void> {
  rules.watchForwarded(req);
  const { allowed, limit: perSecond, resetMs } = await rules.local.consume(rules.addressOf(client));
  if (allowed) return;
  throw new GatewayError(rules.status === 429 ? 'CLIENT_LIMITED_429' : 'CLIENT_LIMITED', {
    retryAfterMs: resetMs,
    reason: `more than ${perSecond} requests of this address in a second, answered here`,
  });
}

/** The phase that counts a request which is to be sent on, tells its client what is left, and refuses what is too much. */
export async function limit(
  req: Request,
  res: Response,
  { client, app = '' }: Exchange,
  token: string,
  rules: LimitRules,
): Promise<void> {
  rules.watchForwarded(req);
  const verdict = await rules.count.consume(rules.keyOf(client, app, token));
  // Fields set here stay on whatever answer this request gets.
  for (const [name, value] of Object.entries(limitFields(verdict, rules.seconds))) res.setHeader(name, value);
  if (verdict.allowed) return;
  throw new GatewayError(rules.status === 429 ? 'CLIENT_LIMITED_429' : 'CLIENT_LIMITED', {
    retryAfterMs: verdict.resetMs,
    reason: `more than ${verdict.limit} requests of this client in ${rules.seconds} s`,
  });
}
