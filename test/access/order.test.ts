import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { accepts, bearerOf, open, refuses, type Replica, replicaIn, sees, setUp, WINDOW } from './replica-kit.ts';

/** What happens at one of two replicas: the upstream's answer to a request that was sent so long ago, or time passes. */
type Step = { at: 0 | 1; what: 'accepted' | 'refused'; sentAgo: number } | { what: 'later'; ms: number };

const sent = fc.record({
  at: fc.constantFrom<(0 | 1)[]>(0, 1),
  what: fc.constantFrom('accepted' as const, 'refused' as const),
  sentAgo: fc.oneof(fc.nat(500), fc.nat(WINDOW), fc.constantFrom(0, WINDOW - 1, WINDOW, WINDOW + 1)),
});
const later = fc.record({ what: fc.constant('later' as const), ms: fc.constantFrom(10, 1100, 4000) });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof({ weight: 3, arbitrary: sent }, { weight: 1, arbitrary: later }),
  {
    minLength: 2,
    maxLength: 10,
  },
);

let marks = 0;

it('whatever is accepted and refused where, and in whatever order it is heard of, no refusal is overtaken by what came before it', async () => {
  const world = await setUp();
  const { clock } = world;
  const [a, b] = await Promise.all([replicaIn(world), replicaIn(world)]);
  open(a.access, b.access);
  const all: [Replica, Replica] = [a, b];

  /** Messages come in order: whoever has heard of a mark has heard of everything before it. */
  const settle = async () => {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const mark = `mark ${(marks += 1)}`;
      refuses(from, mark, clock.monotonic());
      const isHeard = () => to.access.refusalOf(bearerOf(to.access, mark)) !== undefined;
      for (let i = 0; i < 1000 && !isHeard(); i += 1) await sleep(1);
      expect(isHeard()).toBe(true);
    }
  };

  let believed = 0;
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), async (steps, settles) => {
      const token = `token ${(marks += 1)}`;
      const accepted: number[] = [];
      let refusedAt = -Infinity;
      for (const step of steps) {
        if (step.what === 'later') {
          await sleep(6);
          await clock.advance(step.ms);
          continue;
        }
        const sentAt = clock.monotonic() - step.sentAgo;
        if (step.what === 'accepted') accepted.push(sentAt);
        else refusedAt = Math.max(refusedAt, sentAt);
        (step.what === 'accepted' ? accepts : refuses)(all[step.at], token, sentAt);
        // What was refused at one replica is refused there at once; elsewhere as soon as it is heard of.
        const here = all[step.at].access.maySee(bearerOf(all[step.at].access, token), {
          file: 'f1',
          secret: undefined,
        });
        if (step.what === 'refused' && !accepted.some((at) => at > sentAt)) expect(here.allowed).toBe(false);
        if (settles) await settle();
      }
      await settle();
      for (const { access } of all) {
        const { allowed } = await sees(access, token);
        const now = clock.monotonic();
        const may = accepted.some((at) => at > refusedAt && now - at < WINDOW + 1);
        if (allowed) {
          expect(may).toBe(true);
          believed += 1;
        }
      }
      // A later acceptance is always believed, and soon everywhere.
      await sleep(2);
      accepts(a, token, clock.monotonic());
      expect((await sees(a.access, token)).allowed).toBe(true);
    }),
    { numRuns: 60 },
  );
  // Or it would all be true of a room that believes nobody.
  expect(believed).toBeGreaterThan(10);
});
