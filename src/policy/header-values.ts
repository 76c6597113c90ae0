import type { WishFields } from './variant.ts';

/** How an upstream reads a header that asks for something: by its presence, or by its value. */
export type HeaderValues = 'presence' | 'value';

/**
 * The fields as the upstream understands them: where it goes by values, `thumbnail: false` asks for the file itself. What
 * is sent on is not touched. If the query asks for a thumbnail too, nobody knows what is meant, and nothing is changed.
 */
export function asUnderstood(fields: WishFields, query: string, by: HeaderValues): WishFields {
  if (by === 'presence') return fields;
  const { thumbnail, ...others } = fields;
  const saysNo = thumbnail === '' || thumbnail === 'false';
  return saysNo && !/thumbnail/i.test(query) ? others : fields;
}
