import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../src/clock.ts';
import { createFileWatch } from '../src/watch-files.ts';

async function startWatch(...names: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-watch-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const at = (name: string) => join(folder, name);
  const changed = vi.fn<() => void>();
  const files = createFileWatch(changed, { everyMs: 50 }, systemClock);
  onTestFinished(() => files[Symbol.dispose]());
  const watch = () => files.watch(names.map(at), Date.now() + 1000);
  const hasChanged = (times: number) =>
    vi.waitFor(() => changed.mock.calls.length >= times || Promise.reject(new Error('not yet')), 5000);
  return { at, watch, files, changed, hasChanged };
}

describe('watched files', () => {
  it('tell that one was written in place', async () => {
    const { at, watch, changed, hasChanged } = await startWatch('a.yaml');
    await writeFile(at('a.yaml'), 'one');
    watch();
    await writeFile(at('a.yaml'), 'other');
    await hasChanged(1);
    expect(changed).toHaveBeenCalledTimes(1);
  });

  it('tell that one was replaced', async () => {
    const { at, watch, changed, hasChanged } = await startWatch('a.yaml');
    await writeFile(at('a.yaml'), 'same');
    watch();
    await writeFile(at('a.new'), 'same');
    await rename(at('a.new'), at('a.yaml'));
    await hasChanged(1);
    expect(changed).toHaveBeenCalledTimes(1);
  });

  it('tell that a link above one leads elsewhere, as when Kubernetes swaps a ConfigMap', async () => {
    const { at, watch, changed, hasChanged } = await startWatch('a.yaml');
    for (const version of ['one', 'two']) {
      await mkdir(at(version));
      await writeFile(join(at(version), 'a.yaml'), 'text');
    }
    await symlink('one', at('..data'));
    await symlink('..data/a.yaml', at('a.yaml'));
    watch();
    await symlink('two', at('..new'));
    await rename(at('..new'), at('..data'));
    await hasChanged(1);
    expect(changed).toHaveBeenCalledTimes(1);
  });

  it('tell that one has come, and that it has gone', async () => {
    const { at, watch, changed, hasChanged } = await startWatch('a.yaml');
    watch();
    await writeFile(at('a.yaml'), 'one');
    await hasChanged(1);
    await rm(at('a.yaml'));
    await hasChanged(2);
    expect(changed).toHaveBeenCalledTimes(2);
  });

  it('tell that one was written while it was being read', async () => {
    const { at, files, changed, hasChanged } = await startWatch();
    const readAt = Date.now();
    await writeFile(at('a.yaml'), 'one');
    files.watch([at('a.yaml')], readAt);
    await hasChanged(1);
    expect(changed).toHaveBeenCalledTimes(1);
  });

  it('tell it once of many writes that follow each other', async () => {
    const { at, watch, changed, hasChanged } = await startWatch('a.yaml', 'b.yaml');
    watch();
    await writeFile(at('a.yaml'), 'one');
    await writeFile(at('b.yaml'), 'one');
    await hasChanged(1);
    await writeFile(at('a.yaml'), 'two');
    await hasChanged(2);
    expect(changed).toHaveBeenCalledTimes(2);
  });

  it('are no longer watched when others are', async () => {
    const { at, watch, files, changed, hasChanged } = await startWatch('a.yaml');
    watch();
    files.watch([at('b.yaml')], Date.now() + 1000);
    await writeFile(at('a.yaml'), 'one');
    await writeFile(at('b.yaml'), 'one');
    await hasChanged(1);
    expect(changed).toHaveBeenCalledTimes(1);
  });
});
