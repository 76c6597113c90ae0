import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { scratch } from './kit.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('every line of the documentation works as it is printed', async () => {
  const text = await readFile(`${ROOT}/docs/emulator.md`, 'utf8');
  const lines = [...text.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, block]) => block).join('');
  expect(lines.match(/^curl|\$\(curl/gm)?.length).toBeGreaterThan(30);

  await using cloud = await createEmulator();
  await using folder = await scratch();
  const script = lines
    .replaceAll('http://127.0.0.1:8090', cloud.url)
    .replaceAll('http://127.0.0.1:8091', cloud.adminUrl)
    .replaceAll('@samples/', `@${ROOT}samples/`)
    // An answer that refuses ends the script, and so the test.
    .replaceAll('curl -s', 'curl -sS --fail-with-body');
  await promisify(execFile)('bash', ['-euc', script], { cwd: folder.path });

  expect(await readFile(`${folder.path}/picture.jpg`)).toEqual(await readFile(`${ROOT}/samples/picture.jpg`));
  expect((await readFile(`${folder.path}/thumbnail.jpg`)).length).toBeLessThan(20_000);
  expect((await readFile(`${folder.path}/part.jpg`)).length).toBe(100);
  expect(cloud.faults()).toEqual([]);
  expect(cloud.limiter().algorithm).toBe('off');
});
