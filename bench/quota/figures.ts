/** What is read out of a run's times and counts. */

/** Accepted requests a second, as the slope of the line that fits their count best: no edge of a second counts. */
export function slope(times: readonly number[]): number {
  const meanTime = sum(times) / times.length;
  const meanCount = (times.length - 1) / 2;
  let shared = 0;
  let spread = 0;
  for (const [count, time] of times.entries()) {
    shared += (time - meanTime) * (count - meanCount);
    spread += (time - meanTime) ** 2;
  }
  return times.length < 2 ? 0 : (shared / spread) * 1000;
}

/** The most times in any second, wherever it begins. */
export function mostPerSecond(times: readonly number[]): number {
  let most = 0;
  let oldest = 0;
  for (const [index, time] of times.entries()) {
    while ((times[oldest] ?? Infinity) <= time - 1000) oldest += 1;
    most = Math.max(most, index - oldest + 1);
  }
  return most;
}

/** Jain's index: 1 when all have the same, 1/n when one has everything. */
export const jain = (shares: readonly number[]): number =>
  sum(shares) ** 2 / (shares.length * sum(shares.map((share) => share ** 2))) || 0;

/** The value that so large a part of all values does not exceed. */
export const quantile = (values: readonly number[], part: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN;

/** How many of each, for all that may be there. */
export const countBy = <Item>(items: readonly Item[], size: number, indexOf: (item: Item) => number): number[] => {
  const counts = Array.from({ length: size }, () => 0);
  for (const item of items) counts[indexOf(item)] = (counts[indexOf(item)] ?? 0) + 1;
  return counts;
};

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
