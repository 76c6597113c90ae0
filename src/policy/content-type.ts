import type { Decision } from './decision.ts';
import { type Parameter, readParameters } from './parameters.ts';

/** The answer "no" alone. */
export type Denied = Extract<Decision, { allowed: false }>;

/** The answer "no" to a multipart body that cannot be read, or that two readers could read in two ways. */
export const malformed = (reason: string): Denied => ({ allowed: false, code: 'MULTIPART_MALFORMED', reason });

const MAX_BOUNDARIES = 4;

/**
 * The boundaries that a multipart/form-data Content-Type names, or why it names none.
 *
 * More than one is common: a client library that writes its own boundary behind the one an application set by hand.
 * Readers differ in which they take, so each must be one that a body could use, and the body decides.
 */
export function readBoundaries(contentType: string | undefined): string[] | Denied {
  if (contentType === undefined || !/^[ \t]*multipart\/form-data[ \t]*(?:;|$)/i.test(contentType)) {
    return { allowed: false, code: 'MEDIA_UNSUPPORTED', reason: 'the body is not multipart/form-data' };
  }
  // No client needs escapes here, and some readers know none.
  const read = contentType.includes('\\') ? undefined : readParameters(contentType);
  if (read === undefined) return malformed('the Content-Type cannot be read in one way only');
  const given = read.parameters.filter(({ name }) => /^boundary(?:\*|$)/.test(name));
  if (!given.every(isBoundary)) return malformed('a boundary is no valid boundary');
  const boundaries = [...new Set(given.map(({ value }) => value))];
  if (boundaries.length === 0) return malformed('the Content-Type names no boundary');
  if (boundaries.length > MAX_BOUNDARIES) return malformed('the Content-Type names too many boundaries');
  return boundaries;
}

// RFC 2046 §5.1.1 allows fewer characters, but clients in use send others (`*****`). Blanks need quotes. The extended
// and the split forms of a parameter (RFC 2231) are known to few readers.
const isBoundary = ({ name, value, quoted }: Parameter): boolean =>
  name === 'boundary' && (quoted ? /^[\x20-\x7e]{0,69}[\x21-\x7e]$/ : /^[\x21-\x7e]{1,70}$/).test(value);
