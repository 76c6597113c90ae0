/** What is to be reached, and whether it was. */
export type Goal = { text: string; isMet: boolean };

/** A number is to be at most another; NaN never is. */
export const atMost = (what: string, value: number, most: number, digits = 0): Goal => ({
  text: `${what}: ${value.toFixed(digits)}, at most ${most.toFixed(digits)}`,
  isMet: value <= most,
});
