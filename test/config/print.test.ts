import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig, type LoadOptions } from '../../src/config.ts';
import { keysOf } from '../../src/config/keys.ts';
import { printConfig } from '../../src/config/print.ts';
import { configSchema } from '../../src/config/schema.ts';

const PRODUCTION = fileURLToPath(new URL('../../config/production.example.yaml', import.meta.url));
const keys = keysOf(configSchema);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chatfiles-print-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const loaded = (options: Partial<LoadOptions>) => loadConfig({ env: {}, emulator: true, ...options });
const print = async (options: Partial<LoadOptions>, changedOnly = false) =>
  printConfig({ ...(await loaded(options)), changedOnly }, keys);

/** The printed line of a key, without the spaces before its comment. */
const lineOf = (text: string, name: string) =>
  text
    .split('\n')
    .find((line) => line.trim().replace(/^#/, '').startsWith(`${name}:`))
    ?.trim()
    .replace(/ +# /, ' # ');

/** Values of every kind, some of which YAML would read as something else without quotes. */
const ALL_KINDS = [
  'redis.keyPrefix=123',
  'egress.id=no',
  'trustedProxies=10.0.0.0/8,::1',
  'cors.origins=*',
  'limits.fileBytes=1536',
  'limits.discardBytes=3GB',
  'cache.originalBytes=1',
  'destinations=org/app,*/*',
  'upstream.caFile=/etc/ca: #1.pem',
  'admin.hosts=a.example.com',
  `passthrough=${Array.from({ length: 30 }, (_, index) => `users/x${index}`).join(',')}`,
];

describe('what is printed', () => {
  test.each([
    ['of nothing but defaults', {}],
    ['of a whole example', { file: PRODUCTION }],
    ['of values of every kind', { set: ALL_KINDS }],
    ['of a number where a list may stand', { set: ['trustedProxies=2'] }],
  ])('%s is the same configuration when it is loaded, all of it or the changed part', async (_, options) => {
    for (const changedOnly of [false, true]) {
      const file = join(folder, 'printed.yaml');
      await writeFile(file, await print(options, changedOnly));
      expect((await loaded({ file })).config).toEqual((await loaded(options)).config);
    }
  });

  test('has every key, in one order, and of what changed nothing else', async () => {
    const text = await print({});
    for (const key of keys) expect(text).toMatch(new RegExp(`^ *#?${key.path.split('.').at(-1)}: `, 'm'));
    expect(Object.keys(parse(text) as object).filter((name) => name in configSchema.shape)).toEqual(
      Object.keys(parse(text) as object),
    );
    expect(await print({}, true)).toBe('');
    expect(parse(await print({ set: ['cache.disk.maxBytes=2GB', 'listen.port=8080'] }, true))).toEqual({
      cache: { disk: { maxBytes: '2GB' } },
    });
  });

  test('tells where each value came from', async () => {
    const file = join(folder, 'my.yaml');
    await writeFile(file, 'quota:\n  perSecond: 10\n');
    const text = (await print({ file, env: { CHATFILES_LOG__LEVEL: 'warn' }, set: ['listen.port=1'] })).replaceAll(
      `${folder}/`,
      '',
    );
    expect(lineOf(text, 'perSecond')).toBe('perSecond: 10 # my.yaml:2:3');
    expect(lineOf(text, 'level')).toBe('level: warn # CHATFILES_LOG__LEVEL');
    expect(lineOf(text, 'port')).toBe('port: 1 # --set');
    expect(lineOf(text, 'windowMs')).toBe('windowMs: 1000 # default');
    expect(lineOf(text, 'publicUrl')).toBe('#publicUrl: # not set');
  });

  test('does not say a proxy twice that the environment names', async () => {
    const options: Partial<LoadOptions> = {
      env: { HTTPS_PROXY: 'http://proxy:3128', CHATFILES_UPSTREAM__URL: 'https://a1.easemob.com' },
      set: ['upstream.proxyFromEnvironment=true'],
      proxyFor: () => 'http://proxy:3128',
    };
    const text = await print(options);
    expect(lineOf(text, 'proxy')).toBe('#proxy: http://proxy:3128 # HTTPS_PROXY, by upstream.proxyFromEnvironment');
    const file = join(folder, 'printed.yaml');
    await writeFile(file, text);
    expect((await loaded({ ...options, file })).config.upstream.proxy).toBe('http://proxy:3128');
  });
});

describe('secrets', () => {
  test('are never printed, and what stands in their place is no value', async () => {
    const text = await print({
      set: [
        'admin.token=geheim0123456789',
        'upstream.proxy=http://me:geheim@proxy:3128',
        'upstream.keyFile=/k',
        'upstream.certFile=/c',
        'upstream.keyPassphrase=geheim',
        'redis.url=rediss+sentinel://u:geheim@a:1,b:2/main/3',
        `access.verify.agora=o/a=${'a'.repeat(32)}:${'0e'.repeat(16)}`,
        'access.verify.easemob=o/a=id:geheim,o/b=id:geheim',
        'secrets.digestKey=geheim0123456789012345678901234567890',
      ],
    });
    expect(text).not.toContain('geheim');
    expect(text).not.toContain('0e0e');
    expect(lineOf(text, 'token')).toBe('#token: *** # secret, from --set');
    expect(lineOf(text, 'proxy')).toBe('#proxy: http://***@proxy:3128 # secret, from --set');
    expect(lineOf(text, 'easemob')).toBe('#easemob: *** (2) # secret, from --set');
    expect(lineOf(text, 'digestKey')).toBe('#digestKey: *** # secret, from --set');
    expect(lineOf(text.slice(text.indexOf('\nredis:')), 'url')).toBe(
      '#url: rediss+sentinel://***@a:1,b:2/main/3 # secret, from --set',
    );
    const file = join(folder, 'printed.yaml');
    await writeFile(file, text);
    expect((await loaded({ file })).config.admin.token).toBeUndefined();
  });

  test('are missing from a URL that has no user and no password: it is printed', async () => {
    const text = await print({ set: ['redis.url=redis://redis.internal:6379/2', 'upstream.proxy=http://proxy:3128/'] });
    expect(text).toContain(' url: redis://redis.internal:6379/2 ');
    expect(text).toContain(' proxy: http://proxy:3128/ ');
  });
});
