import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configKeys, loadConfig } from '../../src/config.ts';

const CONFIG = fileURLToPath(new URL('../../config/', import.meta.url));
const schema = JSON.parse(readFileSync(join(CONFIG, 'schema.json'), 'utf8')) as Record<string, unknown>;
// A section may be left empty, so it has two types.
const validate = new Ajv({ allErrors: true, allowUnionTypes: true, strict: true }).compile(schema);

/** What an editor would mark, with the places. */
const marked = (yaml: string): string[] =>
  validate(parse(yaml))
    ? []
    : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chatfiles-schema-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function isLoaded(yaml: string): Promise<boolean> {
  const file = join(folder, 'gateway.yaml');
  await writeFile(file, yaml);
  return loadConfig({ file, env: {}, emulator: true }).then(
    () => true,
    () => false,
  );
}

describe('the schema', () => {
  test.each(globSync('*.yaml', { cwd: CONFIG }))('accepts config/%s, which names it for editors', (name) => {
    const yaml = readFileSync(join(CONFIG, name), 'utf8');
    expect(yaml).toMatch(/^# yaml-language-server: \$schema=\.\/schema\.json\n/);
    expect(marked(yaml)).toEqual([]);
  });

  test.each([
    'limits: { fileBytes: 10MB }',
    'limits: { fileBytes: "10 mb" }',
    'limits: { fileBytes: 1kB, formBytes: 4096 }',
    'cache: { originalBytes: 0 }',
    'cache: { disk: }',
    'secrets:',
    'trustedProxies: 2',
    'trustedProxies: [10.0.0.0/8, "::1"]',
    'compat: { throttledStatus: 429 }',
    'redirects: { hosts: [Files.Example.com, "*.example.com:8443"] }',
    'destinations: ["*/*", org/*, org/app]',
    'quota: { weights: [org/app=3], uploadMaxWaitMs: 0 }',
    `access: { verify: { agora: [{ app: o/a, appId: ${'aB'.repeat(16)}, certificate: ${'0a'.repeat(16)} }, "o/b=${'a'.repeat(32)}:${'b'.repeat(32)}"] } }`,
  ])('accepts what the loader accepts: %s', async (yaml) => {
    expect(await isLoaded(yaml)).toBe(true);
    expect(marked(yaml)).toEqual([]);
  });

  test.each([
    ['quotas: { perSecond: 30 }', ''],
    ['quota: { perSecnd: 30 }', '/quota'],
    ['cache: { disk: { directory: /x } }', '/cache/disk'],
    ['quota: { perSecond: "30" }', '/quota/perSecond'],
    ['quota: { perSecond: 0 }', '/quota/perSecond'],
    ['quota: { maxWaitMs: 1.5 }', '/quota/maxWaitMs'],
    ['quota: 30', '/quota'],
    ['limits: { fileBytes: 0 }', '/limits/fileBytes'],
    ['limits: { fileBytes: 1.5MB }', '/limits/fileBytes'],
    ['limits: { fileBytes: 10 apples }', '/limits/fileBytes'],
    ['limits: { fileBytes: }', '/limits/fileBytes'],
    ['tokens: { checkExpiry: yes }', '/tokens/checkExpiry'],
    ['log: { level: loud }', '/log/level'],
    ['compat: { throttledStatus: 500 }', '/compat/throttledStatus'],
    ['destinations: []', '/destinations'],
    ['destinations: org/app', '/destinations'],
    ['destinations: [org]', '/destinations/0'],
    ['trustedProxies: 33', '/trustedProxies'],
    ['redirects: { hosts: [10.0.0.1] }', '/redirects/hosts/0'],
    ['upstream: { url: a1.easemob.com }', '/upstream/url'],
    ['upstream: { proxy: "proxy:3128" }', '/upstream/proxy'],
    ['redis: { url: "localhost:6379" }', '/redis/url'],
    ['publicUrl: files.example.com', '/publicUrl'],
    ['- listen', ''],
  ])('refuses what the loader refuses: %s', async (yaml, place) => {
    expect(await isLoaded(yaml)).toBe(false);
    expect(marked(yaml).map((line) => line.slice(0, line.indexOf(':')))).toContain(place);
  });

  test('tells of every key what it is for, and marks the secrets', () => {
    type Node = { properties?: Record<string, Node>; description?: string; writeOnly?: boolean; default?: unknown };
    for (const { path, description, secret, reload, env } of configKeys()) {
      const node = path.split('.').reduce<Node>((section, name) => section.properties?.[name] ?? {}, schema);
      expect([path, node.description]).toEqual([path, expect.stringContaining(description)]);
      expect(node.description).toContain(env);
      expect(node.description).toContain(reload ? 'without a restart' : 'needs a restart');
      expect([path, node.writeOnly ?? false]).toEqual([path, secret]);
    }
    expect(JSON.stringify(schema)).toContain('"default":"10MB"');
  });
});
