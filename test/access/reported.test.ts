import { beforeEach, describe, expect, it } from 'vitest';
import type { Access } from '../../src/access/access.ts';
import { createFakeClock, type FakeClock } from '../kit/fake-clock.ts';
import { accepts, alone, APP, BAD_TOKEN, FILE, open, sees } from './replica-kit.ts';

let clock: FakeClock;
let access: Access;
beforeEach(() => {
  clock = createFakeClock();
  access = alone(clock, { graceSeconds: 10 });
});

const now = () => clock.monotonic();
const ASKED = { file: FILE, secret: undefined };

/** The same token twice: as one that is let through only because a policy reports, and as any other. */
const reported = () => access.identifyReported(APP, 't');

describe('a token that is only reported', () => {
  it('sees nothing, also when the very same token is believed, and also while the upstream is down', async () => {
    open(access);
    accepts({ access }, 't', now());
    expect((await sees(access, 't')).allowed).toBe(true);
    for (const isDown of [false, true]) expect(access.maySee(reported(), ASKED, isDown).allowed).toBe(false);
    expect(access.holdsGrant(reported())).toBe(false);
    expect(access.groupOf(reported(), ASKED)).toBeUndefined();
  });

  it('gets no grant, proves nothing and opens nothing by what it is given', async () => {
    open(access);
    access.learnAnswer(reported(), FILE, 'a-secret', now());
    access.learnAccepted(reported(), now());
    expect((await sees(access, 't')).allowed).toBe(false);
    expect(access.isProven(APP, 't')).toBe(false);
    expect(access.stats()).toMatchObject({ tokens: 0, shown: 0 });
  });

  it('takes nothing away by what it is refused, and is refused nothing here', async () => {
    open(access);
    accepts({ access }, 't', now());
    expect(access.learnRefusal(reported(), BAD_TOKEN, now(), ASKED)).toBe('token-refused');
    expect((await sees(access, 't')).allowed).toBe(true);
    access.learnRefusal(reported(), { status: 404, error: 'entity_not_found', description: undefined }, now(), ASKED);
    expect((await sees(access, 't')).allowed).toBe(true);
    expect(access.refusalOf(reported())).toBeUndefined();
    expect(access.lookUp(reported())).toBeUndefined();
  });
});
