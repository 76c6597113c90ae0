/** Room that all uploads share: it is handed out as long as there is some, and comes back. */
export class Budget {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  get room(): number {
    return this.#limit - this.#used;
  }

  /** Hands out all that is asked for, or nothing and says so. */
  take(bytes: number): boolean {
    if (bytes > this.room) return false;
    this.#used += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#used -= bytes;
  }
}

/** What one upload holds of a budget: grows with it, and is given back once. */
export class Share {
  readonly #budget: Budget;
  #held = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get held(): number {
    return this.#held;
  }

  /** Makes the share at least this large; false if there is no room. */
  reach(bytes: number): boolean {
    const more = bytes - this.#held;
    if (more <= 0) return true;
    if (!this.#budget.take(more)) return false;
    this.#held = bytes;
    return true;
  }

  /** Gives back what is held beyond so many bytes. */
  shrinkTo(bytes: number): void {
    const surplus = this.#held - bytes;
    if (surplus <= 0) return;
    this.#held = bytes;
    this.#budget.giveBack(surplus);
  }
}
