import { describe, expect, it } from 'vitest';
import type { Access } from '../../src/access/access.ts';
import { forward, type ForwardDeps } from '../../src/server/forward.ts';
import type { Exchange } from '../../src/server/exchange.ts';
import type { Outcome } from '../../src/upstream/send.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const TURN = { maxWaitMs: { upload: 1, download: 1, thumbnail: 1, sibling: 1 }, thumbnailsFirst: false };
const BEARER = { app: 'o/a', token: 't', key: 'k', kind: 'user', endsAt: Infinity } as const;

/** Who is told what, when a request ends so. */
async function toldOf(outcome: Partial<Outcome>, isTelling?: boolean): Promise<string[]> {
  const told: string[] = [];
  const note = (what: string) => () => void told.push(what);
  const access = { isProven: () => false, learnAccepted: note('accepted'), learnRefusal: note('refused') };
  const deps: ForwardDeps = {
    clock: createFakeClock(),
    send: async () => outcome as Outcome,
    access: access as unknown as Access,
    outage: { note: note('outage'), isOn: false },
    line: { ...TURN, clientKey: () => 'c' },
    prove: note('proven'),
  };
  const trail = { attempts: 0, queuedMs: 0, upstreamMs: 0 };
  const exchange = { client: '', trail, signal: new AbortController().signal } as unknown as Exchange;
  const asking = { kind: 'sibling', bearer: BEARER, ...(isTelling === undefined ? {} : { isTelling }) } as const;
  await forward(deps, { method: 'GET', path: '/', headers: {} }, asking, exchange);
  return told;
}

const ANSWER = { kind: 'answer', status: 200 } as const;
const REFUSAL = { kind: 'refusal', status: 401 } as const;

describe('what a request ended as', () => {
  it('is told to those who go by it', async () => {
    expect(await toldOf(ANSWER)).toEqual(['outage', 'accepted', 'proven']);
    expect(await toldOf(REFUSAL)).toEqual(['outage', 'refused']);
  });

  // Anybody may register at some of these paths, whatever token is sent along: it must not count as accepted. And what a
  // user may not do there says nothing of the files.
  it.each([ANSWER, REFUSAL, { kind: 'refusal', status: 500 }, { kind: 'failure' }] as Partial<Outcome>[])(
    'is told to nobody where it was none of the files’: %j',
    async (outcome) => {
      expect(await toldOf(outcome, false)).toEqual([]);
    },
  );
});
