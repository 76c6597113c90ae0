import { LRUCache } from 'lru-cache';
import type { TokenRefusal } from './token-book.ts';

/** A refusal by the upstream; `spendForMs`: what the token proves to be has no first sight left, for so long. */
export type OwnRefusal = { refusal: TokenRefusal; refusedAt: number; spendForMs?: number | undefined };

/** A refusal, and `epoch`, the run of Redis's memory that has it. */
export type KeptRefusal = OwnRefusal & { epoch: string };

/** How many are kept to be told again. */
const MAX_REFUSALS = 10_000;

/** The refusals that this replica has seen, until Redis has them, and after that in case it loses its memory. */
export class OwnRefusals {
  readonly #refusals = new LRUCache<string, KeptRefusal>({ max: MAX_REFUSALS });
  readonly #keepMs: number;

  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  add(key: string, own: OwnRefusal): void {
    this.#refusals.set(key, { ...own, epoch: '' });
  }

  /** The refusal of a key; undefined once nobody needs to know of it any more. */
  of(key: string, now: number): KeptRefusal | undefined {
    const own = this.#refusals.get(key);
    if (!own || now - own.refusedAt <= this.#keepMs) return own;
    this.#refusals.delete(key);
    return undefined;
  }

  /** The keys that this run of Redis's memory has not, the latest first. */
  untold(epoch: string): string[] {
    return [...this.#refusals.entries()].flatMap(([key, own]) => (own.epoch === epoch ? [] : [key]));
  }
}
