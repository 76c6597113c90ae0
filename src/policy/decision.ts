import { type ErrorCode, GatewayError } from '../errors.ts';

/** A "no": the kind of failure, a reason for the log that never holds a secret, and what the client may be told of it. */
export type Denial = { allowed: false; code: ErrorCode; reason: string; detail?: string };

/** A policy's answer: go on, or a denial. */
export type Decision = { allowed: true } | Denial;

/** The answer "go on". */
export const allow: Decision = { allowed: true };

/** The answer "no", with the kind of failure and the reason that the log gets. */
export const deny = (code: ErrorCode, reason: string): Denial => ({ allowed: false, code, reason });

/** Throws the failure that a "no" stands for. */
export function enforce(decision: Decision): void {
  if (!decision.allowed) throw new GatewayError(decision.code, { reason: decision.reason, detail: decision.detail });
}
