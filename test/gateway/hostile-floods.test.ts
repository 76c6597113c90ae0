import { describe, expect, it } from 'vitest';
import { CHATFILES } from '../kit/easemob.ts';
import { DOWNLOADED, FILE, get, type HostileCase, playHostile, post, UPLOAD } from '../kit/hostile.ts';

const many = (count: number, field: (index: number) => string) =>
  get({}, ...Array.from({ length: count }, (_, i) => field(i)));

const FLOODS: HostileCase[] = [
  { name: 'a hundred fields', bytes: many(97, (i) => `X-${i}: 1`), status: 200, reaches: [DOWNLOADED] },
  { name: 'a hundred and one fields', bytes: many(98, (i) => `X-${i}: 1`), status: 431 },
  { name: 'a thousand empty fields', bytes: many(1000, (i) => `X${i}:`), status: 431 },
  { name: 'the same field two thousand times', bytes: many(2000, () => 'a:'), status: 431 },
  // Attack: a server that keeps the first fields only, without a word, no longer sees what comes last.
  {
    name: 'a second token behind two thousand fields',
    bytes: get({}, ...Array.from({ length: 2000 }, () => 'a:'), 'Authorization: Bearer canary'),
    status: 431,
  },
  { name: 'a value of 15 KB', bytes: get({}, `X: ${'c'.repeat(15_000)}`), status: 200, reaches: [DOWNLOADED] },
  { name: 'a value of 17 KB', bytes: get({}, `X: ${'canary'.repeat(2900)}`), status: 431 },
  { name: 'a name of 17 KB', bytes: get({}, `${'canary'.repeat(2900)}: 1`), status: 431 },
  { name: 'a head of a megabyte', bytes: get({}, `X: ${'canary'.repeat(170_000)}`), status: 431 },
  {
    name: 'a head that never ends',
    bytes: [
      get({}, `X: ${'canary'.repeat(2900)}`).slice(0, -4),
      ...Array.from({ length: 20 }, () => 'canary'.repeat(1000)),
    ],
    status: 431,
  },
  {
    name: 'a query of 15 KB',
    bytes: get({ target: `${FILE}?${'a&'.repeat(7500)}` }),
    status: 200,
    reaches: [DOWNLOADED].map(({ method }) => ({ method })),
  },
  {
    name: 'an upload with a hundred and one fields',
    bytes: post({ fields: [...UPLOAD, ...Array.from({ length: 97 }, (_, i) => `X-${i}: 1`)] }),
    status: 431,
  },
  {
    name: 'a token of 15 KB',
    bytes: get({ target: CHATFILES + '/x', fields: ['Host: h', `Authorization: Bearer ${'c'.repeat(15_000)}`] }),
    status: 401,
  },
];

describe('a flood of', () => {
  it.each(FLOODS)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});
