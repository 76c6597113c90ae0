import { describe, expect, it } from 'vitest';
import { asUnderstood } from '../../src/policy/header-values.ts';
import { readWish } from '../../src/policy/variant.ts';

const ORIGINAL = { isSmall: false, variant: 'original' };

describe('the header thumbnail', () => {
  it.each(['true', 'false', '', 'no'])('%j asks for a thumbnail where its presence counts', (thumbnail) => {
    const fields = { thumbnail };
    expect(asUnderstood(fields, '', 'presence')).toBe(fields);
    expect(readWish(asUnderstood(fields, '', 'presence'), '').isSmall).toBe(true);
  });

  it.each(['false', ''])('%j asks for the file itself where its value counts', (thumbnail) => {
    expect(readWish(asUnderstood({ thumbnail, range: 'x' }, '', 'value'), '')).toEqual(ORIGINAL);
  });

  it.each(['true', 'False', 'no', '0', 'false, false'])(
    '%j is read as it is by presence: how the upstream reads it is not known',
    (thumbnail) => {
      const fields = { thumbnail };
      expect(asUnderstood(fields, '', 'value')).toBe(fields);
    },
  );

  it.each(['thumbnail=true', 'a=1&Thumbnail=1', 'x=1;thumbnail=true'])(
    'that contradicts the query %j is kept for nobody',
    (query) => {
      expect(readWish(asUnderstood({ thumbnail: 'false' }, query, 'value'), query).variant).toBeUndefined();
    },
  );

  it('that is not there asks for nothing', () => {
    expect(readWish(asUnderstood({}, '', 'value'), '')).toEqual(ORIGINAL);
  });
});
