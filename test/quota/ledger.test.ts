import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { createLocalLedger } from '../../src/quota/local-ledger.ts';
import { createSharedLedger } from '../../src/quota/shared-ledger.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { ledgerContract } from './ledger.contract.ts';
import { ask, connected, freshPrefix, replicaOf } from './redis-account.ts';

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());

ledgerContract('the account of one process', (options, clock) => Promise.resolve(createLocalLedger(options, clock)));

ledgerContract('the account that replicas share', async ({ allowances, pacing }, clock) => {
  const redis = await connected(server.url);
  const remote = replicaOf(redis, clock, { allowances, pacing, keyPrefix: freshPrefix() });
  // A new account holds for a moment.
  await remote.reserve(ask(0));
  await clock.advance(1500);
  const ledger = createSharedLedger({ allowances, egressScope: 'egress', replicas: 1 }, remote, clock);
  onTestFinished(() => ledger[Symbol.asyncDispose]());
  return ledger;
});
