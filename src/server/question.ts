import { z } from 'zod';
import type { Question } from './explain-steps.ts';

const HINT =
  'Send {"method": "GET", "path": "/org/app/chatfiles/…", "headers": {"authorization": "Bearer …"}, "client": "203.0.113.7"}; ' +
  'all but the path may be left out.';

const schema = z.strictObject({
  method: z
    .string()
    .regex(/^[A-Z]{1,16}$/)
    .default('GET'),
  path: z.string().regex(/^\S+$/).max(16_384),
  // Fields as a request could bring them: a value has no control characters, and one of each name is enough.
  headers: z
    .record(z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$/), z.string().regex(/^[^\p{Cc}]*$/u))
    .default({}),
  client: z.union([z.ipv4(), z.ipv6()]).default('192.0.2.1'),
});

/** Reads the operator's question; what is wrong with it is told without anything of it, since it may hold a token. */
export function readQuestion(body: unknown): Question | { mistake: string } {
  const { data, error } = schema.safeParse(body);
  if (!data) {
    const [issue] = error.issues;
    const [section = 'the body'] = issue?.path ?? [];
    return { mistake: `Not a question: ${String(section)} is missing, unknown or malformed. ${HINT}` };
  }
  const headers = Object.entries(data.headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return { ...data, headers: Object.fromEntries(headers) };
}
