import { describe, expect, it } from 'vitest';
import type { Kind } from '../../src/quota/waiter.ts';
import { withQuota } from '../../src/upstream/quota.ts';
import type { OutboundRequest, Outcome } from '../../src/upstream/send.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

/** What the quota is told of an outcome. */
async function toldOf(kind: Kind, outcome: Partial<Outcome>): Promise<string[]> {
  const told: string[] = [];
  const slot = {
    departed: () => {},
    refused: () => void told.push('refused'),
    accepted: () => void told.push('accepted'),
  };
  const slots = {
    acquire: async () => slot,
    prove() {},
    waitingOf: () => 0,
    outlook: () => ({ waitMs: 0, waiting: 0, replicas: 1 }),
    endWithin() {},
    waiting: 0,
    replicas: 1,
    async [Symbol.asyncDispose]() {},
  };
  const trail = { attempts: 0, queuedMs: 0, upstreamMs: 0 };
  const request = { turn: { kind, maxWaitMs: 0 }, trail, signal: new AbortController().signal } as OutboundRequest;
  await withQuota(slots, createFakeClock())(async () => outcome as Outcome)(request);
  return told;
}

describe('the quota', () => {
  it.each([
    ['upload', { kind: 'answer', status: 200 }, ['accepted']],
    ['upload', { kind: 'refusal', status: 404 }, ['accepted']],
    ['upload', { kind: 'refusal', status: 503 }, ['refused']],
    ['thumbnail', { kind: 'refusal', status: 429, error: 'reach_limit' }, ['refused']],
    ['download', { kind: 'refusal', status: 429, error: 'resource_limited' }, ['accepted']],
    ['download', { kind: 'failure' }, []],
    ['sibling', { kind: 'answer', status: 200 }, ['accepted']],
    // Such a path may answer so because it is broken: nobody else must go slower for it.
    ['sibling', { kind: 'refusal', status: 503 }, []],
    ['sibling', { kind: 'failure' }, []],
  ] as const)('is told of a %s that ended as %j: %j', async (kind, outcome, told) => {
    expect(await toldOf(kind, outcome as Partial<Outcome>)).toEqual(told);
  });
});
