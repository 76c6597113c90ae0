import { describe, expect, it } from 'vitest';
import { createRecent } from '../../src/server/recent.ts';
import type { Summary } from '../../src/server/summarize.ts';

const summary = (id: number, decision = 'allow') => ({ id: String(id), decision, status: 200 }) as Summary;
const idsOf = (summaries: Summary[]) => summaries.map(({ id }) => id);

describe('the last requests', () => {
  it('are bounded in number, the newest first', () => {
    const recent = createRecent(3);
    expect(recent.list({}, 10)).toEqual([]);
    for (const id of [1, 2]) recent.add(summary(id));
    expect(idsOf(recent.list({}, 10))).toEqual(['2', '1']);
    for (const id of [3, 4, 5]) recent.add(summary(id));
    expect(idsOf(recent.list({}, 10))).toEqual(['5', '4', '3']);
    expect(idsOf(recent.list({}, 2))).toEqual(['5', '4']);
  });

  it('are found by id, and by the values of fields', () => {
    const recent = createRecent(3);
    recent.add(summary(1, 'deny'));
    recent.add(summary(2));
    expect(recent.find('1')).toMatchObject({ decision: 'deny' });
    expect(recent.find('9')).toBeUndefined();
    expect(idsOf(recent.list({ decision: 'deny', status: '200' }, 10))).toEqual(['1']);
    expect(recent.list({ decision: 'deny', status: '404' }, 10)).toEqual([]);
  });
});
