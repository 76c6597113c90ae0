import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { tryOut } from '../../src/config/trial.ts';
import { createAuthority, type Authority } from '../kit/certificates.ts';

let authority: Authority;
let folder: string;
beforeAll(async () => {
  authority = await createAuthority();
  folder = await mkdtemp(join(tmpdir(), 'chatfiles-trial-'));
});
afterAll(async () => {
  await authority[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** What is said of a configuration that is valid in itself. */
async function unusable(...set: string[]): Promise<string[]> {
  const { config, origins } = await loadConfig({ env: {}, emulator: true, set });
  const { problems, warnings } = await tryOut(config, origins);
  return [
    ...problems.map(({ place, path, message }) => `${place.text} ${path}: ${message}`.replaceAll(folder, '/tmp')),
    ...warnings,
  ];
}

test('files and folders that can be used are fine, and none is made', async () => {
  const { certFile, keyFile } = await authority.issue('client');
  const files = [`caFile=${authority.certFile}`, `certFile=${certFile}`, `keyFile=${keyFile}`];
  const folders = [`spool.dir=${folder}/not/there/yet`, `cache.disk.dir=${folder}`];
  expect(await unusable(...files.map((each) => `upstream.${each}`), ...folders)).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
});

test('a certificate and the key of another are told, with the place of the key', async () => {
  const [one, other] = await Promise.all([authority.issue('one'), authority.issue('other')]);
  expect(await unusable(`upstream.certFile=${one.certFile}`, `upstream.keyFile=${other.keyFile}`)).toEqual([
    expect.stringMatching(/^--set upstream\.keyFile: is not the key of/),
  ]);
});

test("the files of the clients' port are tried too, and their time is told", async () => {
  const [one, other] = await Promise.all([authority.issue('one'), authority.issue('other')]);
  const files = (keyFile: string) => [`listen.tls.certFile=${one.certFile}`, `listen.tls.keyFile=${keyFile}`];
  expect(await unusable(...files(other.keyFile))).toEqual([
    expect.stringMatching(/^--set listen\.tls\.keyFile: is not the key of/),
  ]);
  expect(await unusable(...files(one.keyFile))).toEqual([
    expect.stringMatching(/^the certificate in listen\.tls\.certFile .* runs out on .* UTC, in \d+ days: renew it$/),
  ]);
});

test('files that are not there are told all at once', async () => {
  const told = await unusable('upstream.caFile=/none/a', 'upstream.certFile=/none/b', 'upstream.keyFile=/none/c');
  expect(told).toHaveLength(3);
  expect(told.filter((line) => /there is no such file/.test(line))).toHaveLength(3);
});

test('a folder below a file cannot be made', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  expect(await unusable(`spool.dir=${file}/below/it`, `cache.disk.dir=${file}`)).toEqual([
    '--set spool.dir: cannot be a folder: /tmp/file is none',
    '--set cache.disk.dir: cannot be a folder: /tmp/file is none',
  ]);
  expect(await unusable(`cache.disk.dir=${file}`, 'cache.enabled=false')).toEqual([]);
});

test('a disk that is smaller than what may come to lie on it is told', async () => {
  const [told] = await unusable(`cache.disk.dir=${folder}/below`, 'cache.disk.maxBytes=1000TB');
  expect(told).toMatch(/^cache\.disk\.maxBytes is 1000TB, but the disk of cache\.disk\.dir has \d+MB in all$/);
});
