import { expect, it } from 'vitest';
import type { Bearer, BearerKind } from '../../src/access/bearer.ts';
import type { Exchange } from '../../src/server/exchange.ts';
import { forward, type ForwardDeps } from '../../src/server/forward.ts';
import { createOutage } from '../../src/server/outage.ts';
import type { OutboundRequest, Outcome } from '../../src/upstream/send.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const ACCEPTED = { kind: 'answer', status: 200, headers: {} } as Outcome;

/** Asks once for a bearer of this kind; gives who was proven, and as whom it stood in line. */
async function askAs(kind: BearerKind) {
  const clock = createFakeClock();
  const proven: string[] = [];
  let turn: OutboundRequest['turn'] | undefined;
  const deps = {
    clock,
    send: async (request: OutboundRequest) => {
      turn = request.turn;
      return ACCEPTED;
    },
    access: { isProven: () => false, learnAccepted: () => {}, learnRefusal: () => 'other' },
    outage: createOutage(clock),
    line: {
      maxWaitMs: { thumbnail: 1, download: 1, upload: 1 },
      thumbnailsFirst: false,
      clientKey: (address: string) => `address:${address}`,
    },
    prove: (bearer: string) => void proven.push(bearer),
  } as unknown as ForwardDeps;
  const bearer: Bearer = { app: 'o/a', token: kind === 'nobody' ? '' : 't', key: 'key', kind, endsAt: Infinity };
  const exchange = { client: '192.0.2.1', trail: {}, signal: new AbortController().signal } as unknown as Exchange;
  await forward(deps, { method: 'GET', path: '/', headers: {} }, { kind: 'download', bearer }, exchange);
  return { proven, turn };
}

it('proves a bearer that the upstream accepts, so that whoever waits with it need not stand with the unproven', async () => {
  expect((await askAs('unknown')).proven).toEqual(['key']);
});

it('proves nobody who has no token, who stands with the unproven by address', async () => {
  const { proven, turn } = await askAs('nobody');
  expect(proven).toEqual([]);
  expect(turn).toMatchObject({ client: 'address:192.0.2.1', isProven: false });
});
