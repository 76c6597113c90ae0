import type { Mode } from '../policy/config.ts';
import { type Decision, type Denial, enforce } from '../policy/decision.ts';
import type { Exchange } from './exchange.ts';

/**
 * Lets a policy's "no" end the request, or only writes it down, as the policy's mode says. Tells whether the request was
 * allowed; where it was not and goes on all the same, it is the caller's part that it comes to nothing it should not have.
 */
export function decide(mode: Mode, decision: Decision, exchange: Exchange): boolean {
  if (decision.allowed) return true;
  if (mode === 'on') enforce(decision);
  note(decision, exchange);
  return false;
}

/** The first "no" is the one that would have been the answer. */
function note({ code, reason }: Denial, exchange: Exchange): void {
  exchange.wouldDeny ??= { code, reason };
}
