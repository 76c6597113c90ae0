/**
 * Secrets that stand in a file of their own, as Docker and Kubernetes hand them over: a variable with `_FILE` at its end
 * names the file.
 */
import { readTextFile } from '../text-file.ts';

/** What is put behind the variable of a secret key to name a file instead. */
export const FILE_SUFFIX = '_FILE';

/** What the file held, or why that is unknown; `shown` is its name where that may be printed. */
export type SecretFile = { shown: string } & ({ secret: string } | { problem: string });

const RULES = { maxBytes: 64 * 1024, maxText: '64KB', onlyRegular: true };

/** Reads a secret without the line end that editors and `echo` put behind it. */
export async function readSecretFile(file: string): Promise<SecretFile> {
  const read = await readTextFile(file, RULES);
  if ('text' in read) {
    const secret = read.text.replace(/\r?\n$/, '');
    return { shown: ` (${file})`, ...(secret.trim() === '' ? { problem: 'is empty' } : { secret }) };
  }
  // Whoever writes the secret itself where its file should be named must not find it in the log.
  if (read.isThere || /^\/[\w.-]+(?:\/[\w.-]+)+$/.test(file)) return { shown: ` (${file})`, problem: read.problem };
  return { shown: '', problem: `${read.problem}; it must be the path of a file, like /run/secrets/name` };
}
