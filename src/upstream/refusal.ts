import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';

/** More than any refusal of Easemob's has; the rest is not read. */
const MAX_BYTES = 64 * 1024;

/** A refusal's body, empty when it was not JSON, too long or broken off; and what it says in the fields of Easemob's errors. */
export type Refusal = { body: Buffer; error: string | undefined; description: string | undefined };

/** Reads the body of an answer with a status from 400 on; never rejects, and never takes longer than `withinMs`. */
export async function readRefusal(
  answer: IncomingMessage,
  { withinMs, clock, signal }: { withinMs: number; clock: Clock; signal: AbortSignal },
): Promise<Refusal> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stop = () => answer.destroy();
  const cancel = clock.after(withinMs, stop);
  signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) return nothing;
      chunks.push(chunk);
    }
  } catch {
    return nothing;
  } finally {
    cancel();
    signal.removeEventListener('abort', stop);
  }
  const body = Buffer.concat(chunks);
  return isPlainJson(answer) ? parse(body) : nothing;
}

const nothing: Refusal = { body: Buffer.alloc(0), error: undefined, description: undefined };

const isPlainJson = ({ headers }: IncomingMessage): boolean =>
  /^application\/json\b/i.test(headers['content-type'] ?? '') && headers['content-encoding'] === undefined;

const textOr = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function parse(body: Buffer): Refusal {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return nothing;
    // SDKs take whatever has `entities` for a success, also with a status that says otherwise.
    if ('entities' in parsed) return nothing;
    const { error, error_description: description } = parsed as Record<string, unknown>;
    return { body, error: textOr(error), description: textOr(description) };
  } catch {
    return nothing;
  }
}
