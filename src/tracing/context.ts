/**
 * Where a request stands in its trace, by W3C Trace Context (level 1): read strictly, since anybody may send it, and
 * written anew.
 *
 * Whoever sends a trace is believed: it decides nothing here, and its parts are a few characters of hexadecimal. What is
 * no valid `traceparent` is as good as none, and then no `tracestate` counts either.
 */
import { randomFillSync } from 'node:crypto';

/** A place in a trace. `parentId`: the caller's span, where there is one; `state`: what others have noted, as it came. */
export type TraceContext = {
  traceId: string;
  parentId: string | undefined;
  isSampled: boolean;
  state: string | undefined;
};

/** The fields of a request, two of which are looked at. */
export type TraceFields = { readonly [name: string]: string | string[] | undefined };

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** A later version may have more behind its flags, but not without end. */
const MAX_PARENT = 256;
/** What of the state is handed on: its 512 characters are what everybody should, and more is what nobody has to. */
const MAX_STATE = 512;
const MAX_MEMBERS = 32;
const MEMBER =
  /^(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/;

/**
 * Reads where a request stands in the trace of its sender; without one that is valid, a trace of its own begins, by the
 * name of the request: a random UUID is what the identity of a trace is to be.
 */
export function readTrace({ traceparent, tracestate }: TraceFields, requestId: string): TraceContext {
  const read = typeof traceparent === 'string' ? readParent(traceparent) : undefined;
  if (!read) return { traceId: traceIdOf(requestId), parentId: undefined, isSampled: false, state: undefined };
  return { ...read, state: typeof tracestate === 'string' ? readState(tracestate) : undefined };
}

/** The `traceparent` that names a span to whoever is asked next. */
export const writeTraceparent = (traceId: string, spanId: string, isSampled: boolean): string =>
  `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;

const traceIdOf = (uuid: string): string =>
  uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24);

function readParent(text: string): Omit<TraceContext, 'state'> | undefined {
  const match = text.length <= MAX_PARENT ? TRACEPARENT.exec(text) : null;
  if (!match) return undefined;
  const [, version = '', traceId = '', parentId = '', flags = '', more] = match;
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (isZero(traceId) || isZero(parentId)) return undefined;
  return { traceId, parentId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

const isZero = (hex: string): boolean => /^0+$/.test(hex);

/** All of it or nothing: half of a list would be somebody else's word in their mouth. */
function readState(text: string): string | undefined {
  if (text.length > MAX_STATE) return undefined;
  const members = text.split(',').map((member) => member.replaceAll(/^[ \t]+|[ \t]+$/g, ''));
  const said = members.filter((member) => member !== '');
  if (said.length === 0 || said.length > MAX_MEMBERS || !said.every((member) => MEMBER.test(member))) return undefined;
  const keys = new Set(said.map((member) => member.slice(0, member.indexOf('='))));
  return keys.size === said.length ? said.join(',') : undefined;
}

const SPAN_ID_BYTES = 8;
/** Randomness is fetched for many at a time: one at a time it costs as much as all the rest. */
const pool = Buffer.alloc(512 * SPAN_ID_BYTES);
let used = pool.length;

/** A new name for a piece of work in a trace. */
export function newSpanId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const id = pool.toString('hex', used, used + SPAN_ID_BYTES);
  used += SPAN_ID_BYTES;
  return isZero(id) ? newSpanId() : id;
}
