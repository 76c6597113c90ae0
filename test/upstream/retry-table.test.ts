import { describe, expect, it } from 'vitest';
import { isThrottled, mayRetry } from '../../src/upstream/retry-table.ts';
import type { Outcome } from '../../src/upstream/send.ts';

const refusal = (status: number, error?: string): Outcome => ({
  kind: 'refusal',
  status,
  headers: {},
  body: Buffer.alloc(0),
  error,
  description: undefined,
});
const failure = (
  cause: Extract<Outcome, { kind: 'failure' }>['cause'],
  sent: Extract<Outcome, { kind: 'failure' }>['sent'],
  reused = false,
): Outcome => ({ kind: 'failure', cause, sent, reused, error: new Error(cause) });
const answer = { kind: 'answer', status: 200 } as Outcome;

/** Each line: an outcome, whether a GET may be sent again, whether an upload may. PUT and DELETE: see below. */
const TABLE: [string, Outcome, boolean, boolean][] = [
  ['an answer begun', answer, false, false],
  ['503, the throttling of the docs', refusal(503), true, true],
  ['429 reach_limit, the newer throttling', refusal(429, 'reach_limit'), true, true],
  ['429 resource_limited, an exhausted plan', refusal(429, 'resource_limited'), false, false],
  ['429 without a word', refusal(429), false, false],
  ['400', refusal(400), false, false],
  ['401', refusal(401), false, false],
  ['404', refusal(404), false, false],
  ['413', refusal(413), false, false],
  ['500', refusal(500), false, false],
  ['502 from a hop on the way', refusal(502), true, false],
  ['504 from a hop on the way', refusal(504), true, false],
  ['no connection', failure('unreachable', 'nothing'), true, true],
  [
    'a certificate that is not accepted',
    { ...failure('unreachable', 'nothing'), isLasting: true } as Outcome,
    false,
    false,
  ],
  ['no connection in time', failure('timeout', 'nothing'), true, true],
  ['a kept-alive socket reset before anything was written', failure('reset', 'nothing', true), true, true],
  ['a kept-alive socket reset while the body went out', failure('reset', 'part', true), true, true],
  ['a kept-alive socket reset after the whole body', failure('reset', 'whole', true), true, false],
  ['a fresh socket reset while the body went out', failure('reset', 'part'), true, false],
  ['a fresh socket reset after the whole body', failure('reset', 'whole'), true, false],
  ['no answer in time', failure('timeout', 'whole'), true, false],
  ['no answer in time on a kept-alive socket', failure('timeout', 'part', true), true, false],
  ['a broken answer', failure('broken', 'whole'), true, false],
  ['a broken answer on a kept-alive socket', failure('broken', 'part', true), true, false],
];

describe('after', () => {
  it.each(TABLE)('%s: may a GET be sent again', (_case, outcome, get) => {
    expect(mayRetry({ method: 'GET' }, outcome)).toBe(get);
  });

  it.each(TABLE)('%s: may a POST be sent again', (_case, outcome, _get, post) => {
    expect(mayRetry({ method: 'POST' }, outcome)).toBe(post);
  });
});

/** A PUT or DELETE may have been carried out, or met by another's, as soon as anything of it was sent. */
const AGAIN_IN_ANY_METHOD = new Set([
  '503, the throttling of the docs',
  '429 reach_limit, the newer throttling',
  'no connection',
  'no connection in time',
  'a kept-alive socket reset before anything was written',
]);

describe.each(['PUT', 'DELETE'] as const)('after', (method) => {
  it.each(TABLE)(`%s: may a ${method} be sent again`, (name, outcome) => {
    expect(mayRetry({ method }, outcome)).toBe(AGAIN_IN_ANY_METHOD.has(name));
  });
});

describe('throttling', () => {
  it('is 503 and 429 reach_limit, and nothing else of the table', () => {
    expect(TABLE.filter(([, outcome]) => isThrottled(outcome)).map(([name]) => name)).toEqual([
      '503, the throttling of the docs',
      '429 reach_limit, the newer throttling',
    ]);
  });
});
