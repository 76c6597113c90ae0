import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configKeys, loadConfig } from '../src/config.ts';

const file = fileURLToPath(new URL('../config/default.yaml', import.meta.url));
const yaml = await readFile(file, 'utf8');

/** A key without a default stands behind a number sign without a space, which comments never do. */
const OPTIONAL = /^( *)#(?=[a-zA-Z]+: )/gm;

const pathsOf = (value: unknown, path: string[] = []): string[] =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.entries(value).flatMap(([name, below]) => pathsOf(below, [...path, name]))
    : [path.join('.')];

describe('config/default.yaml', () => {
  test('is the default, key by key', async () => {
    const { config, warnings } = await loadConfig({ file, env: {}, emulator: true });
    const { config: defaults } = await loadConfig({ env: {}, emulator: true });
    expect(config).toEqual(defaults);
    expect(warnings).toEqual([]);
    const withDefault = configKeys().filter((key) => key.default !== undefined);
    // A section of which every key is optional is left empty.
    expect(pathsOf(parse(yaml)).toSorted()).toEqual([...withDefault.map(({ path }) => path), 'secrets'].toSorted());
  });

  test('shows every key without a default as an example that is accepted', async () => {
    const shown = yaml.replaceAll(OPTIONAL, '$1');
    expect(pathsOf(parse(shown)).toSorted()).toEqual(
      configKeys()
        .map(({ path }) => path)
        .toSorted(),
    );
    const folder = await mkdtemp(join(tmpdir(), 'chatfiles-config-'));
    try {
      await writeFile(join(folder, 'all.yaml'), shown);
      await expect(loadConfig({ file: join(folder, 'all.yaml'), env: {} })).resolves.toBeDefined();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('has the order in which the configuration is printed', () => {
    expect(pathsOf(parse(yaml.replaceAll(OPTIONAL, '$1')))).toEqual(configKeys().map(({ path }) => path));
  });

  test('tells of every key what it is for', () => {
    const lines = yaml.split('\n');
    const keys = configKeys().map(({ path }) => path.split('.').at(-1));
    const silent = lines.filter((line, index) => {
      const name = /^ *#?([a-zA-Z]+):/.exec(line)?.[1];
      return name !== undefined && keys.includes(name) && !/^ *# /.test(lines[index - 1] ?? '');
    });
    expect(silent).toEqual([]);
  });
});
