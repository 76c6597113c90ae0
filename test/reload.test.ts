import { describe, expect, it } from 'vitest';
import { type Config, ConfigError, loadConfig, type Loaded } from '../src/config.ts';
import { createFakeClock } from './kit/fake-clock.ts';
import { createReload, type ReloadResult } from '../src/reload.ts';

const loadedOf = (...set: string[]): Promise<Loaded> =>
  loadConfig({ env: {}, set: ['upstream.url=https://a1.easemob.com', ...set] });

/** A reload whose next configuration a test chooses. */
async function reloadOf(initial: string[] = []) {
  const applied: Config[] = [];
  const told: { level: string; message: string; details: unknown }[] = [];
  const ends: ReloadResult[] = [];
  const watched: (readonly string[])[] = [];
  const clock = createFakeClock();
  const world = {
    next: () => loadedOf(),
    apply: async (config: Config) => void applied.push(config),
  };
  const reload = createReload(await loadedOf(...initial), {
    load: () => world.next(),
    apply: (config) => world.apply(config),
    notice: (level, message, details) => void told.push({ level, message, details }),
    onEnd: (result) => void ends.push(result),
    onFiles: (files) => void watched.push(files),
    clock,
  });
  return { clock, world, reload, applied, told, ends, watched };
}

describe('a reload', () => {
  it('takes what has changed, and says what', async () => {
    const { world, reload, applied, told, ends } = await reloadOf();
    world.next = () => loadedOf('limits.fileBytes=1MB');
    await reload('SIGHUP');
    expect(applied.map(({ limits }) => limits.fileBytes)).toEqual([1024 ** 2]);
    expect(ends).toEqual([{ ok: true, changed: ['limits.fileBytes'], waiting: [] }]);
    expect(told).toEqual([
      {
        level: 'info',
        message: 'the configuration was taken into use',
        details: { because: 'SIGHUP', changed: ['limits.fileBytes'] },
      },
    ]);
  });

  it('compares with what runs, not with what was read first', async () => {
    const { world, reload, ends } = await reloadOf();
    world.next = () => loadedOf('limits.fileBytes=1MB', 'listen.port=9999');
    await reload('a');
    await reload('b');
    expect(ends).toEqual([
      { ok: true, changed: ['limits.fileBytes'], waiting: ['listen.port'] },
      { ok: true, changed: [], waiting: ['listen.port'] },
    ]);
  });

  it('goes on with the earlier one when there is a mistake, and says where', async () => {
    const { world, reload, applied, told, ends } = await reloadOf();
    world.next = () => loadedOf('limits.fileBytes=many');
    await reload('SIGHUP');
    expect(applied).toEqual([]);
    expect(ends).toMatchObject([{ ok: false, mistakes: expect.stringContaining('limits.fileBytes') as string }]);
    expect(told).toMatchObject([{ level: 'error', details: { because: 'SIGHUP' } }]);
    world.next = () => loadedOf('limits.fileBytes=1MB');
    await reload('SIGHUP');
    expect(ends.at(-1)).toMatchObject({ ok: true, changed: ['limits.fileBytes'] });
  });

  it('takes nothing where a file that it names cannot be used, and all of it once it can', async () => {
    const { world, reload, ends } = await reloadOf();
    world.next = () => loadedOf('limits.fileBytes=1MB');
    const apply = world.apply;
    world.apply = () => {
      const place = { text: '', source: 'nowhere', order: 0 } as const;
      return Promise.reject(new ConfigError([{ place, path: 'upstream.caFile', message: 'there is no such file' }]));
    };
    await reload('a');
    world.apply = apply;
    await reload('b');
    expect(ends).toMatchObject([
      { ok: false, mistakes: expect.stringContaining('upstream.caFile: there is no such file') as string },
      { ok: true, changed: ['limits.fileBytes'] },
    ]);
  });

  it('reads one at a time, and once more for all who ask meanwhile', async () => {
    const { world, reload, ends } = await reloadOf();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    let reads = 0;
    world.next = async () => {
      reads += 1;
      if (reads === 1) await gate;
      return loadedOf(`limits.fileBytes=${reads}MB`);
    };
    const first = reload('1');
    // The first has begun to read: whoever asks now may mean what it has not seen.
    await Promise.resolve();
    const others = [reload('2'), reload('3'), reload('4')];
    open();
    await Promise.all([first, ...others]);
    expect([reads, ends.length]).toEqual([2, 2]);
  });

  it('survives what nobody has thought of', async () => {
    const { world, reload, ends } = await reloadOf();
    world.next = () => Promise.reject(new Error('the disk is on fire'));
    await reload('a');
    world.next = () => loadedOf();
    await reload('b');
    expect(ends).toMatchObject([{ ok: false }, { ok: true }]);
  });

  it('gives up a reading that never ends, and what comes of it too late is not taken', async () => {
    const { clock, world, reload, applied, ends } = await reloadOf();
    const { promise: hanging, resolve: answer } = Promise.withResolvers<Loaded>();
    world.next = () => hanging;
    const first = reload('a');
    await clock.advance(30_000);
    await first;
    expect(ends).toMatchObject([{ ok: false, mistakes: expect.stringContaining('more than 30 s') as string }]);
    world.next = () => loadedOf('limits.fileBytes=1MB');
    await reload('b');
    answer(await loadedOf('limits.fileBytes=2MB'));
    await clock.advance(1);
    expect(applied.map(({ limits }) => limits.fileBytes)).toEqual([1024 ** 2]);
  });

  it('tells a warning when it is new', async () => {
    const { world, reload, told } = await reloadOf(['redirects.mode=pass']);
    world.next = () => loadedOf('redirects.mode=pass', 'spool.diskBytes=1');
    await reload('a');
    const warnings = told.filter(({ level }) => level === 'warn').map(({ message }) => message);
    expect(warnings).toEqual([
      'some of what has changed waits for a restart',
      expect.stringContaining('spool.diskBytes'),
    ]);
    await reload('b');
    expect(told.filter(({ message }) => message.includes('spool.diskBytes (1)'))).toHaveLength(1);
  });

  it('has the certificates watched that the configuration names', async () => {
    const { world, reload, watched } = await reloadOf(['upstream.caFile=/a.pem']);
    world.next = () => loadedOf('upstream.caFile=/b.pem');
    await reload('a');
    expect(watched).toEqual([['/a.pem'], ['/b.pem']]);
  });
});
