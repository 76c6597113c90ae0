import type { Summary } from './summarize.ts';

/** The last lines of the log, for whoever has a request's id and no log at hand; bounded, and gone with the process. */
export type Recent = {
  add(summary: Summary): void;
  find(id: string): Summary | undefined;
  /** The newest first; only those of which every given field has that value. */
  list(fields: Readonly<Record<string, string>>, most: number): Summary[];
};

/** How many are remembered. */
const MOST = 500;

/** Remembers nothing yet. */
export function createRecent(most = MOST): Recent {
  const ring: Summary[] = [];
  let next = 0;
  /** From the newest to the oldest. */
  function* newest(): Generator<Summary> {
    for (let back = 1; back <= ring.length; back += 1) {
      const summary = ring[(next - back + most) % most];
      if (summary) yield summary;
    }
  }
  return {
    add(summary) {
      ring[next] = summary;
      next = (next + 1) % most;
    },
    find: (id) => ring.find((summary) => summary.id === id),
    list(fields, count) {
      const wanted = Object.entries(fields);
      return newest()
        .filter((summary) => wanted.every(([name, value]) => String(summary[name as keyof Summary]) === value))
        .take(count)
        .toArray();
    },
  };
}
