import { type CacheKey, type Selector, textOf } from '../entry.ts';

/**
 * What is void, for as long as older records may still be found: everything in here beats whatever is found later.
 *
 * The index is rebuilt from the newest record to the oldest, so this need not know when anything was.
 */
export class Graves {
  readonly #texts = new Set<string>();

  bury(selector: Selector): void {
    this.#texts.add(textOf(selector));
  }

  holds({ app, file, variant }: CacheKey): boolean {
    const texts = this.#texts;
    if (texts.size === 0) return false;
    const reaching: Selector[] = [{}, { app }, { app, file }, { app, file, variant }];
    return reaching.some((selector) => texts.has(textOf(selector)));
  }
}
