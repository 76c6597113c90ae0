import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Emulator } from '../../src/emulator/emulator.ts';
import { ask, type Reply } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';

/** A gateway in front of an upstream that refuses nobody, with files to tell requests apart by, and a proven token. */
async function start(files: number, set: string[]) {
  const running = await startGateway({ emulator: { limiter: { algorithm: 'off' } }, set });
  const { emulator, gateway } = running;
  const token = emulator.issueToken(ORG, APP);
  const paths: string[] = [];
  for (let made = 0; made < files; made += 1) {
    const { uuid } = await uploadTo(emulator.url, token, `file ${made}`);
    paths.push(`${CHATFILES}/${uuid}`);
  }
  const download = (file: number, bearerToken = token, from = '127.0.0.1'): Promise<Reply> =>
    ask(`${gateway.url}${paths[file] ?? ''}`, { headers: bearer(bearerToken), from });
  expect((await download(0)).status).toBe(200);
  emulator.clearReceived();
  /** The files that were asked for, in the order of arrival at the upstream. */
  const arrived = () => emulator.received().map(({ path }) => paths.indexOf(path));
  return { ...running, token, paths, download, arrived };
}

const times = <Item>(count: number, make: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, i) => make(i));
const statusesOf = (replies: Reply[]) => replies.map(({ status }) => status);
const haveArrived = async (emulator: Emulator, count: number): Promise<void> => {
  await expect.poll(() => emulator.received().length, { interval: 5, timeout: 5000 }).toBeGreaterThanOrEqual(count);
};

describe('a client that leaves the line', () => {
  it('costs nobody a slot: who stands behind moves up', async () => {
    const windowMs = 2000;
    const set = ['quota.perSecond=6', `quota.windowMs=${windowMs}`, 'quota.marginMs=0', 'quota.pacing=burst'];
    const { gateway, emulator, summaries, token, paths, download, arrived } = await start(3, set);
    const [, leavers, stayers] = [0, 1, 2];
    const first = times(5, () => download(0));
    await haveArrived(emulator, 5);
    const gone = new AbortController();
    const left = times(30, async () => {
      const url = `${gateway.url}${paths[leavers ?? 0] ?? ''}`;
      await expect(fetch(url, { headers: bearer(token), signal: gone.signal })).rejects.toThrow('aborted');
    });
    const stayed = times(6, () => download(stayers ?? 0));
    setImmediate(() => gone.abort());
    await Promise.all(left);
    expect(statusesOf(await Promise.all([...first, ...stayed]))).toEqual(times(11, () => 200));
    expect(arrived()).toEqual([...times(5, () => 0), ...times(6, () => stayers)]);
    // Thirty in front of them would have taken five more windows.
    const received = emulator.received();
    expect(received.at(-1)!.at - received[0]!.at).toBeLessThan(3 * windowMs);
    expect(summaries.filter(({ error }) => error !== undefined && error !== 'CLIENT_GONE')).toEqual([]);
  });
});

describe('a request that cannot be served within its deadline', () => {
  it('is refused at once, with an honest time to come back', async () => {
    const set = ['quota.perSecond=2', 'quota.marginMs=0', 'quota.maxWaitMs=2200'];
    const { gateway, emulator, summaries, download } = await start(1, set);
    const replies = await Promise.all(times(12, () => download(0)));
    const served = replies.filter(({ status }) => status === 200);
    const refused = replies.filter(({ status }) => status === 503);
    expect(served.length + refused.length).toBe(12);
    expect(served.length).toBeGreaterThanOrEqual(3);
    expect(refused.length).toBeGreaterThanOrEqual(5);
    expect(emulator.received()).toHaveLength(served.length);
    const refusals = summaries.filter(({ error }) => error === 'QUEUE_FULL');
    expect(refusals).toHaveLength(refused.length);
    // What is known at the door is a least wait: one at the very edge may be let in, and wait in vain.
    expect(refusals.filter(({ reason }) => !reason?.startsWith('it would wait')).length).toBeLessThanOrEqual(1);
    const seconds = refused.map(({ headers }) => Number(headers['retry-after']));
    for (const each of seconds) expect(each).toBeGreaterThanOrEqual(1);
    await sleep(Math.max(...seconds) * 1000);
    const later = await ask(`${gateway.url}${emulator.received()[0]?.path ?? ''}`, {
      headers: bearer(emulator.issueToken(ORG, APP)),
    });
    expect(later.status).toBe(200);
  });
});

describe('turns', () => {
  it('are taken by addresses, however much one of them asks for', async () => {
    const { emulator, token, download, arrived } = await start(2, ['quota.perSecond=20', 'quota.pacing=smooth']);
    const greedy = times(20, () => download(0, token, '127.0.0.2'));
    await haveArrived(emulator, 1);
    const modest = times(5, () => download(1, token, '127.0.0.3'));
    await Promise.all([...greedy, ...modest]);
    const order = arrived();
    const between = order.slice(order.indexOf(1), order.lastIndexOf(1) + 1).filter((file) => file === 0);
    expect(order.filter((file) => file === 1)).toHaveLength(5);
    expect(between.length).toBeLessThanOrEqual(5);
  });

  it('are not for made-up tokens, but for a fifth', async () => {
    const { token, download, arrived } = await start(2, ['quota.perSecond=20', 'quota.pacing=smooth']);
    const attack = times(30, (index) => download(1, `YWMt${String(index).padStart(59, 'x')}`));
    const proven = times(20, () => download(0, token));
    expect(statusesOf(await Promise.all(proven))).toEqual(times(20, () => 200));
    const madeUp = arrived().filter((file) => file === 1);
    // A fifth of all turns is a quarter of the others'; a few came before the first of these.
    expect(madeUp.length).toBeLessThanOrEqual(20 / 4 + 4);
    expect(madeUp.length).toBeGreaterThanOrEqual(2);
    await Promise.all(attack);
  });
});

describe('a request that the upstream refused', () => {
  it('keeps its place in line', async () => {
    const { emulator, download, arrived } = await start(4, ['quota.perSecond=4', 'quota.pacing=smooth']);
    emulator.fault({ kind: 'unavailable', times: 1 });
    expect(statusesOf(await Promise.all(times(4, (file) => download(file))))).toEqual([200, 200, 200, 200]);
    const [first, second, ...others] = arrived();
    expect(second).toBe(first);
    expect(new Set([first, ...others])).toEqual(new Set([0, 1, 2, 3]));
  });
});

describe('an upstream that refuses everything for four seconds', () => {
  it('is left in peace but for a few probes, and nobody who can wait is told', async () => {
    const { emulator, download } = await start(1, ['quota.maxWaitMs=20000']);
    emulator.fault({ kind: 'unavailable', forMs: 4000 });
    expect(statusesOf(await Promise.all(times(40, () => download(0))))).toEqual(times(40, () => 200));
    const refused = emulator.received().filter(({ fault }) => fault === 'unavailable');
    process.stdout.write(`upstream away: ${refused.length} refused\n`);
    // The first thirty come at once, before anything can be known.
    expect(refused.length).toBeLessThanOrEqual(30 + 20);
  });
});
