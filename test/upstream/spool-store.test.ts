import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Budget } from '../../src/upstream/spool-budget.ts';
import { SpoolFolder } from '../../src/upstream/spool-folder.ts';
import { SpoolStore } from '../../src/upstream/spool-store.ts';

/** A store whose file opens only when the test says so. */
async function openStore() {
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
  return { store: new SpoolStore({ memory, disk, memoryPerUploadBytes: 0, openFile }), disk, gate };
}

// An upload that is given up while the disk is at work: what still runs must not take the room again.
test('a store that is released while its file opens takes no room any more', async () => {
  const { store, disk, gate } = await openStore();
  const appended = store.append(Buffer.alloc(300_000));
  const released = store.release();
  gate.resolve();
  await Promise.all([appended, released]);
  expect(disk.used).toBe(0);
});

test('a store that is released while it writes takes no room any more', async () => {
  const { store, disk, gate } = await openStore();
  gate.resolve();
  await store.append(Buffer.alloc(10));
  const appended = store.append(Buffer.alloc(300_000));
  const released = store.release();
  await Promise.allSettled([appended, released]);
  expect(disk.used).toBe(0);
});

test('a store that is released before its file could be opened has nothing to close', async () => {
  const { store, disk, gate } = await openStore();
  const reserved = store.reserve(1000);
  const released = store.release();
  gate.reject(new Error('no file'));
  await expect(reserved).rejects.toThrow('no file');
  await released;
  expect(disk.used).toBe(0);
});
