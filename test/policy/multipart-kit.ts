import { finished } from 'node:stream/promises';
import { Busboy } from '@fastify/busboy';
import type { Decision } from '../../src/policy/decision.ts';
import { type MultipartLimits, watchMultipart } from '../../src/policy/multipart.ts';

/** Limits that no test body meets by accident. */
export const LIMITS: MultipartLimits = { fileBytes: 1024 ** 2, maxParts: 16, maxPartHeadBytes: 8192 };

/** A Content-Type with these boundaries, as they are given. */
export const formData = (...boundaries: string[]): string =>
  ['multipart/form-data', ...boundaries.map((boundary) => `boundary=${boundary}`)].join('; ');

/** What the watch says in the end, and what it counted. */
export type Seen = { verdict: string; reason: string; fileBytes: number; fileHead: string };

/** Shows a body to a watch in pieces of the given sizes, over and over. */
export function watch(
  body: Uint8Array,
  { contentType = formData('b'), sizes = [65_536], limits = LIMITS, end = true } = {},
): Seen {
  const opened = watchMultipart(contentType, limits);
  if ('allowed' in opened) return seen(opened, 0, '');
  let decision: Decision = { allowed: true };
  for (const piece of pieces(body, sizes)) decision = opened.push(piece);
  if (end) decision = opened.end();
  return seen(decision, opened.fileBytes, opened.fileHead.toString('latin1'));
}

const seen = (decision: Decision, fileBytes: number, fileHead: string): Seen => ({
  verdict: decision.allowed ? 'allowed' : decision.code,
  reason: decision.allowed ? '' : decision.reason,
  fileBytes,
  fileHead,
});

/** The body in copied pieces of these sizes, so that nothing can lean on the bytes around a piece. */
export function* pieces(body: Uint8Array, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < body.length; turn += 1) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? 1);
    yield Buffer.from(body.subarray(at, at + size));
    at += size;
  }
}

/** What busboy reads in a body: the sizes of the parts named `file`, and whether the body was whole. */
export async function judge(body: Uint8Array, contentType: string): Promise<{ whole: boolean; files: number[] }> {
  const files: number[] = [];
  const parser = new Busboy({
    headers: { 'content-type': contentType },
    isPartAFile: () => true,
    preservePath: true,
  });
  let whole = true;
  parser.on('file', (name: string | undefined, stream) => {
    const index = name === 'file' ? files.push(0) - 1 : -1;
    stream.on('data', (bytes: Buffer) => {
      if (index >= 0) files[index] = (files[index] ?? 0) + bytes.length;
    });
    stream.on('error', () => {
      whole = false;
    });
  });
  parser.on('error', () => {
    whole = false;
  });
  parser.end(Buffer.from(body));
  await finished(parser).catch(() => {
    whole = false;
  });
  return { whole, files };
}
