import { describe, expect, it } from 'vitest';
import { createOutage } from '../../src/server/outage.ts';
import type { Outcome } from '../../src/upstream/send.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const refusal = (status: number): Outcome => ({
  kind: 'refusal',
  status,
  headers: {},
  body: Buffer.alloc(0),
  error: undefined,
  description: undefined,
});
const failure: Outcome = { kind: 'failure', cause: 'timeout', sent: 'whole', reused: false, error: new Error('late') };

describe('an outage of the upstream', () => {
  it('is taken to last for a few seconds from each request that found it', async () => {
    const clock = createFakeClock();
    const outage = createOutage(clock);
    expect(outage.isOn).toBe(false);
    outage.note(failure);
    expect(outage.isOn).toBe(true);
    await clock.advance(5000);
    expect(outage.isOn).toBe(false);
  });

  it('is over as soon as anything is answered', () => {
    const outage = createOutage(createFakeClock());
    for (const down of [failure, refusal(500), refusal(503)]) {
      outage.note(down);
      expect(outage.isOn).toBe(true);
      outage.note(refusal(404));
      expect(outage.isOn).toBe(false);
    }
  });
});
