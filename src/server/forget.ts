import { isFileGone } from '../access/judge-refusal.ts';
import type { Cache } from '../cache/cache.ts';
import type { Outcome } from '../upstream/send.ts';

/** Takes a file out of the cache, in all its forms, when the upstream says that there is no such file any more. */
export function forgetIfGone(
  outcome: Outcome,
  { app, file }: { app: string; file: string },
  cache: Pick<Cache, 'purge'>,
): void {
  if (outcome.kind === 'refusal' && isFileGone(outcome)) void cache.purge({ app, file });
}
