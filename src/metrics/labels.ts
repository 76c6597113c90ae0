/** The values that labels may have: closed sets, so that nobody can make series by what they send. */
import { STATUS_CODES } from 'node:http';
import { type ErrorCode, isDenial, KINDS, type Source } from '../errors.ts';

/** What an upstream request may be for; one allowance or line may be each one's. */
export const CLASSES = ['upload', 'download', 'thumbnail', 'sibling'] as const;

/** How an attempt at the upstream may end. */
export const OUTCOMES = [
  'answered',
  'throttled',
  'exhausted',
  'refused',
  'failed',
  'unreachable',
  'reset',
  'timeout',
  'broken',
  'left',
  'fault',
] as const;

/** Why a request was not tried again although it had failed. */
export const GIVE_UPS = ['attempts', 'budget', 'retry_after', 'unsafe'] as const;

/** Why somebody got no slot. */
export const QUEUE_REFUSALS = ['deadline', 'full', 'client_cap', 'bytes', 'draining', 'disconnected'] as const;

/** What may be out of order while the gateway goes on. */
export const COMPONENTS = [
  'quota',
  'client_limit',
  'access',
  'cache_disk',
  'upstream',
  'audit',
  'scan',
  'config',
] as const;

/** Who speaks with Redis, each by a connection of its own. */
export const REDIS_USES = ['quota', 'access', 'client_limit', 'login_limit', 'purges', 'parts'] as const;

/** Which of these may be followed by another attempt. */
export const RETRIED = ['throttled', 'failed', 'unreachable', 'reset', 'timeout', 'broken'] as const;

/** The codes of failures that are the fault of one of these sides. */
export const codesOf = (...sources: Source[]): ErrorCode[] =>
  (Object.keys(KINDS) as ErrorCode[]).filter((code) => sources.includes(KINDS[code].source));

/** The codes with which a policy says no. */
export const denials = (): ErrorCode[] => (Object.keys(KINDS) as ErrorCode[]).filter((code) => isDenial(code));

// One string for each, made once.
const STATUSES = new Map([...Object.keys(STATUS_CODES), '499'].map((status) => [Number(status), status]));

/** A status as a label; one that nobody has registered is "other". */
export const statusLabel = (status: number): string => STATUSES.get(status) ?? 'other';
