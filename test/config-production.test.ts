import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { configKeys, loadConfig } from '../src/config.ts';
import { valueAt } from '../src/config/keys.ts';

const file = fileURLToPath(new URL('../config/production.example.yaml', import.meta.url));

test('config/production.example.yaml is a valid example without secrets, and without warnings', async () => {
  const { config, warnings, origins } = await loadConfig({ file, env: {} });
  expect(warnings).toEqual([]);
  expect(config.destinations).not.toContain('*/*');
  const secret = new Set(configKeys().flatMap((key) => (key.secret ? [key.path] : [])));
  expect([...origins.keys()].filter((path) => secret.has(path))).toEqual([]);
});

test('it says nothing that is the default anyway, but for the ports that its words are about', async () => {
  const { config, origins } = await loadConfig({ file, env: {} });
  const defaults = new Map(configKeys().map((key) => [key.path, key.default]));
  const same = [...origins.keys()].filter((path) => {
    return isDeepStrictEqual(valueAt(config, path), defaults.get(path));
  });
  expect(same.toSorted()).toEqual(['admin.port', 'listen.port']);
});
