import type { LookupAddress } from 'node:dns';
import { describe, expect, it } from 'vitest';
import { createNames, type Names } from '../../src/upstream/dns.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const TTL_MS = 30_000;
const NAME = 'a1.easemob.test';
const A: LookupAddress = { address: '192.0.2.1', family: 4 };
const B: LookupAddress = { address: '192.0.2.2', family: 4 };
const C: LookupAddress = { address: '2001:db8::3', family: 6 };

const failure = (code: string) => Object.assign(new Error(code), { code });

/** A resolver that answers what the test says at that time, and counts how often it was asked. */
function start(first: LookupAddress[] | Error | Promise<LookupAddress[]>) {
  const clock = createFakeClock();
  const resolver = { answer: first, asked: 0 };
  const names = createNames({ ttlMs: TTL_MS }, clock, async () => {
    resolver.asked += 1;
    if (resolver.answer instanceof Error) throw resolver.answer;
    return resolver.answer;
  });
  return { clock, resolver, names };
}

/** The addresses that a socket would try, in their order, or the code of the error that it would fail with. */
const ask = (names: Names, family = 0, hostname = NAME): Promise<string[] | string> =>
  new Promise((resolve) => {
    names.lookup(hostname, { all: true, family }, (error, found) => {
      resolve(error ? (error.code ?? '') : (found as LookupAddress[]).map(({ address }) => address));
    });
  });

describe('names', () => {
  it('are asked for once for everybody, and again when the answer is old', async () => {
    const { names, resolver, clock } = start([A, B]);
    expect(await Promise.all([ask(names), ask(names), ask(names)])).toEqual(
      Array.from({ length: 3 }, () => [A.address, B.address]),
    );
    await clock.advance(TTL_MS - 1);
    await ask(names);
    expect(resolver.asked).toBe(1);
    resolver.answer = [C];
    await clock.advance(1);
    expect(await ask(names)).toEqual([C.address]);
    expect(resolver.asked).toBe(2);
  });

  it('give one address, or those of one family, to who asks so', async () => {
    const { names } = start([A, C]);
    expect(await ask(names, 6)).toEqual([C.address]);
    const one = new Promise((resolve) => names.lookup(NAME, { family: 4 }, (_e, ...found) => resolve(found)));
    expect(await one).toEqual([A.address, 4]);
  });

  it('are served from the old answer while the resolver fails, for an hour', async () => {
    const { names, resolver, clock } = start([A]);
    await ask(names);
    resolver.answer = failure('EAI_AGAIN');
    await clock.advance(TTL_MS);
    expect(await ask(names)).toEqual([A.address]);
    await clock.advance(3_600_000 - TTL_MS - 1);
    expect(await ask(names)).toEqual([A.address]);
    await clock.advance(1000);
    expect(await ask(names)).toBe('EAI_AGAIN');
  });

  it('are not waited for longer than a moment when there is an old answer', async () => {
    const { names, resolver, clock } = start([A]);
    await ask(names);
    const { promise, resolve } = Promise.withResolvers<LookupAddress[]>();
    resolver.answer = promise;
    await clock.advance(TTL_MS);
    const asked = ask(names);
    await clock.advance(500);
    expect(await asked).toEqual([A.address]);
    resolve([B]);
    await clock.advance(0);
    expect(await ask(names)).toEqual([B.address]);
    expect([resolver.asked, clock.timers]).toEqual([2, 0]);
  });

  it('that are not there any more are not served from the old answer', async () => {
    const { names, resolver, clock } = start([A]);
    await ask(names);
    resolver.answer = failure('ENOTFOUND');
    await clock.advance(TTL_MS);
    expect(await ask(names)).toBe('ENOTFOUND');
  });

  it.each(['ENOTFOUND', 'EAI_AGAIN'])('that fail with %s are asked for once a second, not by each', async (code) => {
    const { names, resolver, clock } = start(failure(code));
    for (const _ of [1, 2, 3]) expect(await ask(names)).toBe(code);
    expect(resolver.asked).toBe(1);
    resolver.answer = [A];
    await clock.advance(1000);
    expect(await ask(names)).toEqual([A.address]);
  });

  it('without any address fail', async () => {
    const { names } = start([]);
    expect(await ask(names)).toBe('ENODATA');
  });

  it('tell whether an address is still theirs, and find out in the background', async () => {
    const { names, resolver, clock } = start([A, B]);
    await ask(names);
    expect(names.isCurrent(NAME, B.address)).toBe(true);
    resolver.answer = [A];
    await clock.advance(TTL_MS);
    // This one had to wait for nothing; the next knows.
    expect(names.isCurrent(NAME, B.address)).toBe(true);
    await clock.advance(0);
    expect([names.isCurrent(NAME, A.address), names.isCurrent(NAME, B.address)]).toEqual([true, false]);
    expect(resolver.asked).toBe(2);
  });

  it('keep the addresses of connections while the resolver is away', async () => {
    const { names, resolver, clock } = start([A]);
    await ask(names);
    resolver.answer = failure('EAI_AGAIN');
    await clock.advance(TTL_MS);
    for (let second = 0; second < 60; second += 1) {
      expect(names.isCurrent(NAME, A.address)).toBe(true);
      await clock.advance(1000);
    }
    expect(resolver.asked).toBeLessThanOrEqual(61);
  });

  it('put an address last that gave no connection, and ask again whether it is still one', async () => {
    const { names, resolver, clock } = start([A, B]);
    await ask(names);
    names.doubt(NAME, A.address);
    expect(await ask(names)).toEqual([B.address, A.address]);
    // Just asked: the answer would be the same.
    expect(resolver.asked).toBe(1);
    await clock.advance(1000);
    names.doubt(NAME, A.address);
    await ask(names);
    expect(resolver.asked).toBe(2);
    await clock.advance(60_000);
    expect(await ask(names)).toEqual([A.address, B.address]);
  });

  it('are forgotten, the oldest first, when there are too many', async () => {
    const { names, resolver } = start([A]);
    for (let i = 0; i < 101; i += 1) await ask(names, 0, `host-${i}.test`);
    await ask(names, 0, 'host-100.test');
    expect(resolver.asked).toBe(101);
    await ask(names, 0, 'host-0.test');
    expect(resolver.asked).toBe(102);
  });
});
