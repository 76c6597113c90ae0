import type { Bearer } from '../access/bearer.ts';
import { isFileGone } from '../access/judge-refusal.ts';
import type { Cache } from '../cache/cache.ts';
import type { Outcome } from '../upstream/send.ts';

/** Takes a file out of the cache, in all its forms, when the upstream tells a token's holder that it is no more. */
export function forgetIfGone(
  outcome: Outcome,
  { app, kind, isReported }: Pick<Bearer, 'app' | 'kind' | 'isReported'>,
  file: string,
  cache: Pick<Cache, 'purge'>,
): void {
  if (isReported || kind === 'nobody') return;
  if (outcome.kind === 'refusal' && isFileGone(outcome)) void cache.purge({ app, file });
}
