import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { createFileStore } from '../../src/emulator/files.ts';
import { eventually, filesIn, json, scratch, startCloud } from './kit.ts';

const facts = { org: 'o', app: 'a', contentType: 'image/png', restricted: false, box: { width: 1, height: 1 } };

async function store(maxBytes: number, maxFiles = 100) {
  const folder = await scratch();
  const clock = { at: 1000 };
  const storage = { maxBytes, maxFiles, dir: folder.path };
  const files = await createFileStore({ storage, fileLifetimeSeconds: 60, hashUploads: true, now: () => clock.at });
  const add = async (bytes: number) => {
    const incoming = files.receive();
    await incoming.write(
      (async function* () {
        yield Buffer.alloc(bytes);
      })(),
    );
    return incoming.keep(facts);
  };
  return {
    files,
    folder,
    clock,
    add,
    async [Symbol.asyncDispose]() {
      await files[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test('the oldest files are forgotten when the folder is full', async () => {
  await using held = await store(100);
  const [first, second, third] = [await held.add(40), await held.add(40), await held.add(40)];
  expect([first, second, third].map(({ uuid }) => held.files.find(uuid) !== undefined)).toEqual([false, true, true]);
  expect(held.files.usage()).toEqual({ files: 2, bytes: 80 });
  await eventually(async () => (await filesIn(held.folder.path)).length === 2);
});

test('the number of files is bounded too', async () => {
  await using held = await store(1000, 3);
  for (let count = 0; count < 10; count += 1) await held.add(0);
  expect(held.files.usage().files).toBe(3);
});

test('thumbnails count, and one of a forgotten file is thrown away', async () => {
  await using held = await store(100);
  const [old, file] = [await held.add(30), await held.add(30)];
  await held.files.attachThumbnail(file, { data: Buffer.alloc(50), contentType: 'image/png' });
  expect(held.files.find(old.uuid)).toBe(undefined);
  expect(held.files.usage()).toEqual({ files: 1, bytes: 80 });
  await held.files.attachThumbnail(old, { data: Buffer.alloc(50), contentType: 'image/png' });
  expect(held.files.usage()).toEqual({ files: 1, bytes: 80 });
  await eventually(async () => (await filesIn(held.folder.path)).length === 2);
});

test('a file that is larger than the folder is refused, and nothing of it stays', async () => {
  await using folder = await scratch();
  await using cloud = await startCloud({ storage: { maxBytes: 100_000, dir: folder.path } });
  await cloud.store(Buffer.alloc(50_000));
  const answer = await cloud.upload(Buffer.alloc(200_000));
  expect(answer.status).toBe(507);
  expect(await json(answer)).toMatchObject({ error_description: 'Insufficient Storage' });
  expect(cloud.stats()).toMatchObject({ storedFiles: 0, storedBytes: 0 });
  await eventually(async () => (await filesIn(folder.path)).length === 0);
});

test('a file whose bytes were removed behind its back is not found, and the emulator lives on', async () => {
  await using folder = await scratch();
  await using cloud = await startCloud({ storage: { dir: folder.path } });
  const { uuid } = await cloud.store(Buffer.from('x'));
  const { rm } = await import('node:fs/promises');
  for (const name of await readdir(folder.path)) await rm(`${folder.path}/${name}`, { recursive: true });
  expect((await cloud.get(uuid)).status).toBe(404);
  expect((await cloud.upload(Buffer.from('x'))).status).toBe(500);
  expect((await cloud.get(uuid)).status).toBe(404);
});

test('the folder goes when the emulator is closed', async () => {
  await using folder = await scratch();
  {
    await using cloud = await startCloud({ storage: { dir: folder.path } });
    await cloud.store(Buffer.from('x'));
    expect(await readdir(folder.path)).toHaveLength(1);
  }
  expect(await readdir(folder.path)).toEqual([]);
});

test('the folder goes when the process ends without closing it', async () => {
  await using folder = await scratch();
  const url = new URL('../../src/emulator/emulator.ts', import.meta.url).href;
  const script = `
    const { createEmulator } = await import(${JSON.stringify(url)});
    const { readdirSync } = await import('node:fs');
    await createEmulator({ storage: { dir: ${JSON.stringify(folder.path)} } });
    console.log(readdirSync(${JSON.stringify(folder.path)}).length);
    process.exit(0);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  expect(printed.trim()).toBe('1');
  expect(await readdir(folder.path)).toEqual([]);
});
