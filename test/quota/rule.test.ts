import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { earliestSlot, isSaturated } from '../../src/quota/rule.ts';

/** Adds a time where it belongs, behind its equals. */
const insertTime = (times: number[], at: number) =>
  void times.splice(times.findLastIndex((time) => time <= at) + 1, 0, at);

const take = (times: number[], from: number, rule: { slots: number; windowMs: number; gapMs?: number }) => {
  const at = earliestSlot([{ times, gapMs: 0, ...rule }], from);
  insertTime(times, at);
  return at;
};

const holds = (
  times: readonly number[],
  { slots, windowMs, gapMs = 0 }: { slots: number; windowMs: number; gapMs?: number },
) =>
  times.every((at, i) => {
    const [next, past] = [times[i + 1], times[i + slots]];
    // A hair's breadth for what is lost when fractions are added.
    const least = (span: number) => span - 0.011;
    return (next === undefined || next - at >= least(gapMs)) && (past === undefined || past - at >= least(windowMs));
  });

describe('the rule', () => {
  it('hands out the allowance at once, and then as each slot leaves the window', () => {
    const times: number[] = [];
    const rule = { slots: 3, windowMs: 1000 };
    expect([0, 0, 0, 0, 0].map((from) => take(times, from, rule))).toEqual([0, 0, 0, 1000, 1000]);
  });

  it('keeps a gap where one is asked for', () => {
    const times: number[] = [];
    expect([0, 0, 0].map((from) => take(times, from, { slots: 30, windowMs: 1000, gapMs: 10 }))).toEqual([0, 10, 20]);
  });

  it('uses what was given back before what is free later', () => {
    const times: number[] = [];
    const rule = { slots: 1, windowMs: 100 };
    expect([0, 0, 0].map((from) => take(times, from, rule))).toEqual([0, 100, 200]);
    times.splice(1, 1);
    expect(take(times, 10, rule)).toBe(100);
  });

  it('never lets a slot that fits between others overfill a window behind it', () => {
    // At 90, one slot lies before and two behind within the window: the new one would be the fourth of three.
    expect(earliestSlot([{ times: [50, 120, 140], slots: 3, windowMs: 100, gapMs: 0 }], 90)).toBe(150);
  });

  it('knows a used-up allowance', () => {
    const scope = { times: [0, 0, 500], slots: 3, windowMs: 1000 };
    expect([isSaturated(scope, 999), isSaturated(scope, 1000)]).toEqual([true, false]);
  });

  const rules = fc.record({
    slots: fc.integer({ min: 1, max: 6 }),
    windowMs: fc.integer({ min: 1, max: 200 }),
    gapMs: fc.integer({ min: 0, max: 20 }),
  });
  const steps = fc.array(fc.record({ pauseMs: fc.nat(60), givesBack: fc.option(fc.nat(10)) }), { maxLength: 60 });

  it('holds after any order of taking and giving back, in every scope at once', () => {
    fc.assert(
      fc.property(rules, rules, steps, (one, two, moves) => {
        // A gap that does not fit into its window would make the allowance smaller than it says.
        const scopes = [one, two].map((rule) => ({ ...rule, gapMs: Math.min(rule.gapMs, rule.windowMs / rule.slots) }));
        const times: number[][] = [[], []];
        let now = 0;
        for (const { pauseMs, givesBack } of moves) {
          now += pauseMs;
          const at = earliestSlot(
            scopes.map((scope, i) => ({ ...scope, times: times[i] ?? [] })),
            now,
          );
          expect(at).toBeGreaterThanOrEqual(now);
          for (const list of times) insertTime(list, at);
          if (givesBack !== null)
            for (const list of times) if (list.length > givesBack) list.splice(list.length - 1 - givesBack, 1);
          for (const [i, list] of times.entries()) expect(holds(list, scopes[i] ?? one)).toBe(true);
        }
      }),
    );
  });

  it('finds the earliest time that there is', () => {
    fc.assert(
      fc.property(rules, fc.array(fc.nat(300), { maxLength: 20 }), fc.nat(300), (rule, taken, from) => {
        const times: number[] = [];
        for (const at of taken) take(times, at, { ...rule, gapMs: 0 });
        const found = earliestSlot([{ times, ...rule, gapMs: 0 }], from);
        for (let at = from; at < found; at += 1) {
          const tried = times.toSpliced(times.filter((each) => each <= at).length, 0, at);
          expect(holds(tried, { ...rule, gapMs: 0 })).toBe(false);
        }
      }),
    );
  });
});
