import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { ClientVerdict } from '../../src/quota/local-count.ts';
import { createClientKey } from '../../src/server/client.ts';
import { limit } from '../../src/server/limit.ts';
import { createWitness } from '../../src/server/movement.ts';
import { serve } from '../../src/server/serve.ts';
import { createPlainTracing } from '../../src/tracing/trace.ts';
import type { Summary } from '../../src/server/summarize.ts';
import { readList } from '../kit/structured-fields.ts';

const ALLOWED: ClientVerdict = { allowed: true, limit: 300, remaining: 12, resetMs: 3001 };
const REFUSED: ClientVerdict = { allowed: false, limit: 300, remaining: 0, resetMs: 3001 };

/** Asks a route whose limit comes to a given verdict. */
async function ask(verdict: ClientVerdict, status = 503) {
  const keys: string[] = [];
  const summaries: Summary[] = [];
  const rules = {
    count: {
      consume: async (key: string) => {
        keys.push(key);
        return verdict;
      },
    },
    seconds: 10,
    status,
    keyOf: createClientKey('address'),
    watchForwarded: () => {},
    local: { consume: () => Promise.resolve(verdict) },
    addressOf: (address: string) => address,
  };
  const deps = {
    clock: systemClock,
    tracing: createPlainTracing(),
    record: (summary: Summary) => void summaries.push(summary),
    discard: { discardBytes: 0, discardMs: 0 },
    compat: { throttledStatus: 503, unavailableStatus: 502 },
    witness: createWitness(undefined, { digest: false, fileNames: false, required: false }),
  };
  const app = express();
  app.get(
    '/',
    serve(deps, async (req, res, exchange) => {
      await limit(req, res, exchange, 'a-token', rules);
      res.send('served');
    }),
  );
  const server = app.listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return { response, text: await response.text(), keys, summaries };
}

describe('the phase that limits a client', () => {
  it('tells on an answer what is left', async () => {
    const { response, text, keys } = await ask(ALLOWED);
    expect([response.status, text]).toEqual([200, 'served']);
    expect(response.headers.get('ratelimit-policy')).toBe('"client";q=300;w=10');
    expect(response.headers.get('ratelimit')).toBe('"client";r=12;t=4');
    expect(response.headers.get('retry-after')).toBeNull();
    expect(keys).toEqual(['address:127.0.0.1']);
  });

  it.each([
    [503, 'service_unavailable', 'CLIENT_LIMITED'],
    [429, 'reach_limit', 'CLIENT_LIMITED_429'],
  ])("refuses with %s in Easemob's words, and tells when to come back", async (status, word, code) => {
    const { response, text, summaries } = await ask(REFUSED, status);
    expect(response.status).toBe(status);
    expect(JSON.parse(text)).toMatchObject({ error: word });
    expect(response.headers.get('ratelimit')).toBe('"client";r=0;t=4');
    expect(summaries).toMatchObject([{ status, error: code, source: 'downstream' }]);
    // Never earlier than the window's end, which is what the draft asks for.
    const [item] = readList(response.headers.get('ratelimit') ?? '');
    expect(response.headers.get('retry-after')).toBe(String(item?.parameters['t']));
  });
});
