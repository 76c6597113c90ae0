import { ApiError } from './errors.ts';
import { readWhole } from './exchange.ts';
import type { Exchange } from './exchange.ts';

const MAX_BYTES = 1024 * 1024;

/** The request body as fields: a JSON value, or an HTML form. A body without a type is taken for JSON, as the cloud does. */
export async function readFields(exchange: Exchange): Promise<unknown> {
  const body = await readWhole(exchange, MAX_BYTES);
  if (body === undefined) throw new ApiError('BODY_MALFORMED', { status: 413 });
  const text = body.toString('utf8');
  const type = exchange.req.headers['content-type'] ?? '';
  // curl's -d says "form" whatever is sent, so a text that begins like JSON is read as JSON.
  if (/x-www-form-urlencoded/i.test(type) && !/^\s*[[{]/.test(text))
    return Object.fromEntries(new URLSearchParams(text));
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError('BODY_MALFORMED');
  }
}
