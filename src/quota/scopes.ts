import type { Allowances, Scopes } from './ledger.ts';
import type { SlotRequest } from './waiter.ts';
import type { QuotaConfig } from './config.ts';

/** The scope that counts everything that leaves by one source address. */
export const EGRESS = 'egress';

/** The scopes that a request counts for: the egress, or its part for this kind; and the app, where apps are counted. */
export function scopesBy({
  perInterface,
  appPerSecond,
}: QuotaConfig): (request: Pick<SlotRequest, 'app' | 'kind'>) => Scopes {
  return ({ app, kind }) => {
    const egress = perInterface ? `${EGRESS}:${kind}` : EGRESS;
    return appPerSecond > 0 ? [egress, perInterface ? `app:${kind}:${app}` : `app:${app}`] : [egress];
  };
}

/** The allowance of each scope, its window widened by the margin: requests do not travel evenly. */
export function allowancesBy({ perSecond, appPerSecond, windowMs, marginMs }: QuotaConfig): Allowances {
  return (scope) => ({
    slots: scope.startsWith('app:') ? appPerSecond : perSecond,
    windowMs: windowMs + marginMs,
  });
}

/** Reads `org/app=weight` entries. */
export const readWeights = (entries: readonly string[]): Record<string, number> =>
  Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.lastIndexOf('=')), Number(entry.slice(entry.lastIndexOf('=') + 1))]),
  );
