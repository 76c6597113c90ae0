import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Budget } from '../../src/upstream/spool-budget.ts';
import { SpoolFolder } from '../../src/upstream/spool-folder.ts';
import { SpoolStore } from '../../src/upstream/spool-store.ts';

/** Two stores on one disk, whose files open only when the test says so. */
async function openStores() {
  const dir = await mkdtemp(join(tmpdir(), 'spool-store-test-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const folder = await SpoolFolder.create(dir);
  const gate = Promise.withResolvers<void>();
  const memory = new Budget(0);
  const disk = new Budget(1_000_000);
  const openFile = async () => {
    await gate.promise;
    return folder.openFile();
  };
  const open = () => new SpoolStore({ memory, disk, memoryPerUploadBytes: 0, openFile });
  return { store: open(), other: open(), disk, gate };
}

// An upload that is given up while the disk is at work: what still runs must not take the room again.
test('a store that is released while its file opens takes no room any more', async () => {
  const { store, disk, gate } = await openStores();
  const appended = store.append(Buffer.alloc(300_000));
  const released = store.release();
  gate.resolve();
  await Promise.all([appended, released]);
  expect(disk.used).toBe(0);
});

test('a store that is released while it writes takes no room any more', async () => {
  const { store, disk, gate } = await openStores();
  gate.resolve();
  await store.append(Buffer.alloc(10));
  const appended = store.append(Buffer.alloc(300_000));
  const released = store.release();
  await Promise.allSettled([appended, released]);
  expect(disk.used).toBe(0);
});

test('a store that is released before its file could be opened has nothing to close', async () => {
  const { store, disk, gate } = await openStores();
  const appended = store.append(Buffer.alloc(1000));
  const released = store.release();
  gate.reject(new Error('no file'));
  await expect(appended).rejects.toThrow('no file');
  await released;
  expect(disk.used).toBe(0);
});

// If its room came back only when its file is closed, all that ask meanwhile would be refused, too.
test('a store that gets no more room gives back what it has before another one asks', async () => {
  const { store, other, disk, gate } = await openStores();
  gate.resolve();
  await store.append(Buffer.alloc(600_000));
  await other.append(Buffer.alloc(300_000));
  const refused = store.append(Buffer.alloc(200_000));
  await expect(refused).rejects.toMatchObject({ code: 'SPOOL_FULL', retryAfterMs: 1000 });
  expect(disk.used).toBe(300_000);
  await other.append(Buffer.alloc(600_000));
  await Promise.all([store.release(), other.release()]);
  expect(disk.used).toBe(0);
});

test('a store that only asks whether there is room takes none', async () => {
  const { store, other, disk } = await openStores();
  for (const each of [store, other]) each.checkRoom(1_000_000);
  expect(disk.used).toBe(0);
  expect(() => store.checkRoom(1_000_001)).toThrow(expect.objectContaining({ code: 'SPOOL_FULL' }));
});
