import { type ErrorCode, GatewayError } from '../errors.ts';

/** A policy's answer: go on, or a kind of failure with a reason for the log (never holding a secret). */
export type Decision = { allowed: true } | { allowed: false; code: ErrorCode; reason: string };

/** The answer "go on". */
export const allow: Decision = { allowed: true };

/** The answer "no", with the kind of failure and the reason that the log gets. */
export const deny = (code: ErrorCode, reason: string): Decision => ({ allowed: false, code, reason });

/** Throws the failure that a "no" stands for. */
export function enforce(decision: Decision): void {
  if (!decision.allowed) throw new GatewayError(decision.code, { reason: decision.reason });
}
