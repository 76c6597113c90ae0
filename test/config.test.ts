import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigError, configKeys, loadConfig, type LoadOptions } from '../src/config.ts';

const URL_ENV = { CHATFILES_UPSTREAM__URL: 'https://a1.easemob.com' };

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chatfiles-config-'));
  file = join(folder, 'gateway.yaml');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The lines an operator sees, without the folder of this test. */
async function mistakes(options: Partial<LoadOptions>, yaml?: string): Promise<string[]> {
  if (yaml !== undefined) await writeFile(file, yaml);
  const source = yaml === undefined ? {} : { file };
  const error: unknown = await loadConfig({ env: {}, emulator: true, ...source, ...options }).catch(
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ConfigError)) throw new Error('the configuration was accepted', { cause: error });
  return error.message
    .split('\n')
    .slice(1)
    .map((line) => line.trim().replace(`${folder}/`, ''));
}

async function load(yaml: string, options: Partial<LoadOptions> = {}) {
  await writeFile(file, yaml);
  const { config } = await loadConfig({ file, env: {}, emulator: true, ...options });
  return config;
}

describe('where values come from', () => {
  test('without any source every key has its default', async () => {
    const { config, warnings } = await loadConfig({ env: {}, emulator: true });
    expect(config.listen).toMatchObject({ host: '127.0.0.1', port: 8080 });
    expect(config.quota.perSecond).toBe(30);
    expect(config.upstream.url).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  test('a flag beats a variable, a variable the file, the file the default', async () => {
    const yaml = 'listen: { host: 10.0.0.1, port: 1001 }\nadmin: { port: 1002 }\nquota: { perSecond: 10 }\n';
    const env = { CHATFILES_LISTEN__PORT: '2001', CHATFILES_ADMIN__PORT: '2002' };
    const config = await load(yaml, { env, set: ['listen.port=3001', 'listen.port=3002'] });
    expect(config.listen).toMatchObject({ host: '10.0.0.1', port: 3002 });
    expect(config.admin.port).toBe(2002);
    expect(config.quota.perSecond).toBe(10);
    expect(config.quota.maxQueued).toBe(1000);
  });

  test('an empty variable counts as not set', async () => {
    const { config } = await loadConfig({
      env: { CHATFILES_LISTEN__PORT: '', CHATFILES_NONSENSE: '' },
      emulator: true,
    });
    expect(config.listen.port).toBe(8080);
  });

  test('an empty file and an empty section are fine', async () => {
    expect((await load('')).listen.port).toBe(8080);
    expect((await load('# nothing\nlisten:\n  # port: 1\ncache: { disk: }\n')).listen.port).toBe(8080);
  });

  test('an anchor may be used twice', async () => {
    const config = await load('listen: &all { host: 0.0.0.0 }\nadmin: *all\n');
    expect([config.listen.host, config.admin.host]).toEqual(['0.0.0.0', '0.0.0.0']);
  });

  test.each([
    ['CHATFILES_QUOTA__PER_SECOND', '100', 'quota', { perSecond: 100 }],
    ['CHATFILES_TRUSTED_PROXIES', '10.0.0.1, 10.0.0.2', 'trustedProxies', ['10.0.0.1', '10.0.0.2']],
    ['CHATFILES_TRUSTED_PROXIES', '2', 'trustedProxies', 2],
    ['CHATFILES_DESTINATIONS', 'org/app,other/*', 'destinations', ['org/app', 'other/*']],
    ['CHATFILES_TOKENS__CHECK_EXPIRY', 'No', 'tokens', { checkExpiry: false }],
    ['CHATFILES_TOKENS__CHECK_EXPIRY', '1', 'tokens', { checkExpiry: true }],
    ['CHATFILES_LIMITS__FILE_BYTES', '20MB', 'limits', { fileBytes: 20 * 1024 ** 2 }],
    ['CHATFILES_LIMITS__FILE_BYTES', '4096', 'limits', { fileBytes: 4096 }],
    ['CHATFILES_LIMITS__FORM_BYTES', '1 kb', 'limits', { formBytes: 1024 }],
    ['CHATFILES_REDIS__KEY_PREFIX', '123', 'redis', { keyPrefix: '123' }],
    ['CHATFILES_UPSTREAM__URL', 'HTTPS://A1.easemob.com:443/', 'upstream', { url: 'https://a1.easemob.com' }],
  ] as const)('reads %s=%s by the kind of its key', async (name, text, section, expected) => {
    const { config } = await loadConfig({ env: { [name]: text }, emulator: true });
    expect({ [section]: config[section] }).toMatchObject({ [section]: expected });
  });

  test('the addresses that Kubernetes gives of a service with our name are nobody’s mistake', async () => {
    const env = {
      CHATFILES_GATEWAY_SERVICE_HOST: '10.0.0.1',
      CHATFILES_GATEWAY_SERVICE_PORT: '80',
      CHATFILES_GATEWAY_SERVICE_PORT_HTTP: '80',
      CHATFILES_GATEWAY_PORT: 'tcp://10.0.0.1:80',
      CHATFILES_GATEWAY_PORT_80_TCP_ADDR: '10.0.0.1',
    };
    await expect(loadConfig({ env, emulator: true })).resolves.toBeDefined();
    expect(await mistakes({ env: { CHATFILES_GATEWAY_PORT: '80' } })).toHaveLength(1);
  });
});

describe('the upstream’s address', () => {
  test('must be given, unless the emulator stands in for it', async () => {
    await expect(loadConfig({ env: {}, emulator: true })).resolves.toBeDefined();
    const [line] = await mistakes({ emulator: false });
    expect(line).toMatch(/^upstream\.url: is missing: .*CHATFILES_UPSTREAM__URL.*--emulator$/);
  });

  test('is not called missing when it was given wrongly, or when the file ends in the middle', async () => {
    expect(await mistakes({ emulator: false, env: { CHATFILES_UPSTREAM__URL: 'a1.easemob.com' } })).toHaveLength(1);
    expect(await mistakes({ emulator: false }, 'upstream: {\n')).toHaveLength(1);
    expect(await mistakes({ emulator: false }, 'upstream: { url: *nobody }\n')).toHaveLength(1);
  });

  test.each([
    'https://a1.easemob.com',
    'https://a1.easemob.com:8443/',
    'http://localhost:8090',
    'http://127.0.0.1',
    'http://127.9.9.9:1',
    'http://[::1]:8090',
  ])('may be %s', async (url) => {
    const { config } = await loadConfig({ env: { CHATFILES_UPSTREAM__URL: url } });
    expect(config.upstream.url).toBe(new URL(url).origin);
  });

  test.each([
    ['a1.easemob.com', /must be a URL like/],
    ['ftp://a1.easemob.com', /must be a URL like/],
    ['https:a1.easemob.com', /must be a URL like/],
    ['https:///a1.easemob.com', /must be a URL like/],
    ['https://a1.easemob.com/org/app', /must not have a path/],
    ['https://a1.easemob.com/?', /must not have a query/],
    ['https://a1.easemob.com/?token=geheim', /must not have a query/],
    ['https://me:geheim@a1.easemob.com', /must not hold a user name/],
    ['http://a1.easemob.com', /must be https: .*upstream\.allowPlaintext/],
    ['http://localhost.example.com', /must be https:/],
    ['http://127.0.0.1.example.com', /must be https:/],
    ['http://0.0.0.0', /must be https:/],
  ])('must not be %s', async (url, complaint) => {
    const lines = await mistakes({ emulator: false, env: { CHATFILES_UPSTREAM__URL: url } });
    expect(lines).toEqual([expect.stringMatching(complaint)]);
    expect(lines.join()).toMatch(/^CHATFILES_UPSTREAM__URL {2}upstream\.url: /);
    expect(lines.join()).not.toContain('geheim');
  });

  test('may be plain http elsewhere if that is said, and then a warning says what it means', async () => {
    const env = { CHATFILES_UPSTREAM__URL: 'http://mock.internal', CHATFILES_UPSTREAM__ALLOW_PLAINTEXT: 'yes' };
    const { warnings } = await loadConfig({ env });
    expect(warnings).toEqual([expect.stringContaining('can be read on the way')]);
  });

  test('is told to be ignored when the emulator stands in for it', async () => {
    const { warnings } = await loadConfig({ env: URL_ENV, emulator: true });
    expect(warnings).toEqual([expect.stringContaining('--emulator')]);
  });
});

describe('mistakes', () => {
  test('are told all at once, with their places, in the order of the sources', async () => {
    const yaml = [
      'listen:',
      '  prt: 1',
      '  port: "8080"',
      'quotas:',
      '  perSecond: 30',
      'quota:',
      '  perSecnd: 30',
      '  maxWaitMs: 1.5',
      'trustedProxies: [10.0.0.0/8, all]',
      'destinations:',
      'limits.fileBytes: 3',
      'admin: 9090',
    ].join('\n');
    const env = { CHATFILES_LISTEN__PORT: 'abc', CHATFILES_QUOTA_PER_SECOND: '30', CHATFILES_LOG: 'debug' };
    const set = ['log.levl=info', 'log=info', 'listen.port', 'log.format=xml'];
    expect(await mistakes({ env, set, emulator: false }, yaml)).toEqual([
      'gateway.yaml:2:3  listen.prt: unknown key, did you mean listen.port?',
      'gateway.yaml:3:3  listen.port: must be a whole number from 0 to 65535, got "8080" (leave the quotes away)',
      'gateway.yaml:4:1  quotas: unknown key, did you mean quota?',
      'gateway.yaml:7:3  quota.perSecnd: unknown key, did you mean quota.perSecond?',
      'gateway.yaml:8:3  quota.maxWaitMs: must be a whole number of milliseconds from 0 to 86400000, got 1.5',
      'gateway.yaml:9:30  trustedProxies[1]: must be an IP address or a CIDR range like 10.0.0.0/8, got "all"',
      'gateway.yaml:10:1  destinations: has no value; write one behind it, or take the line out',
      'gateway.yaml:11:1  limits.fileBytes: levels are not joined by a point in this file; ' +
        'write "limits:" and below it, indented, "fileBytes:"',
      'gateway.yaml:12:8  admin: is a section; its keys (admin.host, admin.port, admin.token, admin.hosts) stand below it, indented, each with a colon and a space behind its name',
      'CHATFILES_LISTEN__PORT  listen.port: must be a whole number from 0 to 65535, got "abc"',
      'CHATFILES_LOG  unknown variable; config/default.yaml shows all there are',
      'CHATFILES_QUOTA_PER_SECOND  unknown variable, did you mean CHATFILES_QUOTA__PER_SECOND?',
      '--set  log.levl: unknown key, did you mean log.level?',
      '--set  log: is a section; set its keys one by one: log.level, log.format',
      '--set  must be path=value, like --set listen.port=9000, got listen.port',
      '--set  log.format: must be one of auto, json, pretty, got "xml"',
      expect.stringMatching(/^upstream\.url: is missing/),
    ]);
  });

  test('are told as problems with a place, a path and a message', async () => {
    const error = await loadConfig({ env: { CHATFILES_LISTEN__PORT: 'x' }, emulator: true }).catch((e: unknown) => e);
    expect(error).toMatchObject({
      name: 'ConfigError',
      message: expect.stringMatching(/^The configuration has a mistake:\n/),
      problems: [{ place: { text: 'CHATFILES_LISTEN__PORT' }, path: 'listen.port', message: /whole number/ }].map(
        (problem) => ({ ...problem, message: expect.stringMatching(problem.message) }),
      ),
    });
  });

  test('are told of a value too that another source overrides', async () => {
    expect(await mistakes({ set: ['listen.port=1'] }, 'listen: { port: -1 }')).toHaveLength(1);
  });

  test('a key in the wrong section is found by its own name', async () => {
    expect(await mistakes({}, 'perSecond: 3')).toEqual([
      'gateway.yaml:1:1  perSecond: unknown key, did you mean quota.perSecond?',
    ]);
  });

  test.each([
    ['a duplicate key', 'listen:\n  port: 1\n  port: 2\n', '3:3  the key was given before'],
    ['a tab', 'listen:\n\tport: 1\n', /^gateway\.yaml:2:\d+ {2}/],
    ['an open bracket', 'destinations: [a/b\n', /^gateway\.yaml:\d+:\d+ {2}.*a bracket above is not closed$/],
    [
      'a star that is no text',
      'destinations: */*\n',
      '1:15  destinations: an alias (*name) without its anchor (&name); quote a text',
    ],
    ['a list as the name of a key', 'listen:\n  ? [a]\n  : 1\n', '2:5  listen: a key is not a plain name'],
    [
      'a colon without a space',
      'listen:\n  port:80\n',
      /gateway\.yaml:2:3  listen: is a section; its keys \(listen\.host, listen\.port, .*\) stand below it, indented, each with a colon and a space/,
    ],
    ['a second document', 'listen:\n---\nadmin:\n', '2:1  a second document begins'],
    ['an unknown tag', 'listen: { host: !env HOST }\n', '1:17  an unknown tag'],
    ['a list where a section stands', '- listen\n', '1:1  must hold sections and keys'],
    ['a key called __proto__', '__proto__: { port: 1 }\n', '1:1  __proto__: unknown key'],
    ['an alias without anchor', 'destinations: *nobody\n', '1:15  destinations: an alias (*name) without its anchor'],
  ])('%s is told with line and column', async (_, yaml, expected) => {
    const [line] = await mistakes({}, yaml);
    if (typeof expected === 'string') expect(line).toContain(`gateway.yaml:${expected}`);
    else expect(line).toMatch(expected);
  });

  test('a file that cannot be read is one mistake, and says why', async () => {
    expect(await mistakes({ file: join(folder, 'none.yaml'), emulator: false })).toEqual([
      'none.yaml  there is no such file',
    ]);
    expect(await mistakes({ file: `${folder}/.`, emulator: false })).toEqual(['.  is a folder; name the file in it']);
    await writeFile(file, Buffer.from([0x6c, 0xff, 0xfe]));
    expect(await mistakes({ file, emulator: false })).toEqual(['gateway.yaml  is not UTF-8 text; save it as UTF-8']);
    await writeFile(file, '#'.repeat(1024 * 1024 + 1));
    expect(await mistakes({ file, emulator: false })).toEqual([
      'gateway.yaml  has more than 1MB; is it the right file?',
    ]);
    expect(await mistakes({ file: '/dev/zero', emulator: false })).toHaveLength(1);
  });

  test('a file of aliases upon aliases is refused quickly', async () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i += 1) {
      bomb.push(
        `${'abcdefghijkl'[i]}: &${'abcdefghijkl'[i]} [${Array(10)
          .fill(`*${'abcdefghijkl'[i - 1]}`)
          .join(', ')}]`,
      );
    }
    const lines = await mistakes({}, `${bomb.join('\n')}\ndestinations: *l\n`);
    expect(lines.at(-1)).toContain('destinations: an alias');
  });

  test.each([
    ['listen.host=', /address or the host name/],
    ['listen.host=a b', /address or the host name/],
    ['listen.port=65536', /from 0 to 65535, got 65536/],
    ['listen.port=0x50', /got "0x50"/],
    ['listen.port=1e3', /got "1e3"/],
    ['listen.port= 80', /got " 80"/],
    ['tokens.checkExpiry=maybe', /true or false, got "maybe"/],
    ['limits.fileBytes=1.5MB', /whole number of bytes/],
    ['limits.fileBytes=-1', /whole number of bytes/],
    ['limits.fileBytes=10 apples', /whole number of bytes/],
    ['limits.fileBytes=0', /whole number of bytes \(1 or more\)/],
    ['spool.memoryBytes=9999999TB', /whole number of bytes/],
    ['quota.perSecond=0', /from 1 to 10000/],
    ['quota.perSecond=10001', /from 1 to 10000/],
    ['quota.windowMs=99999999999', /from 1 to 86400000/],
    ['retry.attempts=0', /from 1 to 20/],
    ['destinations=org', /must be org\/app/],
    ['destinations=*/app', /must be org\/app/],
    ['destinations=org/app/x', /must be org\/app/],
    ['destinations=../app', /must be org\/app/],
    ['destinations=org/a,', /destinations\[1\]: .*got ""/],
    ['trustedProxies=all', /must be an IP address/],
    ['trustedProxies=loopback', /must be an IP address/],
    ['trustedProxies=127.1', /must be a list of addresses/],
    ['trustedProxies=10.0.0.1,127.1', /trustedProxies\[1\]: must be an IP address/],
    ['trustedProxies=10.0.0.0/33', /must be an IP address/],
    ['trustedProxies=10.0.0.0/', /must be an IP address/],
    ['trustedProxies=fe80::1%eth0', /must be an IP address/],
    ['trustedProxies=0.0.0.0/0', /would trust every client/],
    ['trustedProxies=::/0', /would trust every client/],
    ['trustedProxies=33', /whole number from 0 to 32/],
    ['publicUrl=files.example.com', /http or https URL without a path/],
    ['publicUrl=https://files.example.com/x', /http or https URL without a path/],
    ['redis.url=localhost:6379', /redis:\/\/host:6379/],
    ['redis.url=http://localhost', /redis:\/\/host:6379/],
    ['log.level=loud', /trace, debug, info/],
    ['emulator.port=-1', /from 0 to 65535/],
  ])('refuses %s', async (flag, complaint) => {
    expect(await mistakes({ set: [flag] })).toEqual([expect.stringMatching(complaint)]);
  });

  test('two listeners on one port are one mistake, unless their addresses differ', async () => {
    expect(await mistakes({ set: ['admin.port=8080'] })).toEqual([
      '--set  admin.port: is 8080, the same as listen.port; give each its own',
    ]);
    expect(await mistakes({ set: ['admin.port=8080', 'listen.host=0.0.0.0'] })).toHaveLength(1);
    expect(await mistakes({ set: ['emulator.port=9090'] })).toHaveLength(1);
    expect(await mistakes({}, 'listen: { port: 9090 }')).toEqual([
      'gateway.yaml:1:11  listen.port: is 9090, the same as admin.port; give each its own',
    ]);
    await expect(
      loadConfig({ env: URL_ENV, set: ['admin.port=8080', 'listen.host=10.0.0.1', 'emulator.port=8080'] }),
    ).resolves.toBeDefined();
    await expect(loadConfig({ env: URL_ENV, set: ['admin.port=0', 'listen.port=0'] })).resolves.toBeDefined();
  });
});

describe('secrets', () => {
  test.each<[string, Partial<LoadOptions>, string?]>([
    ['a wrong redis.url in a variable', { env: { CHATFILES_REDIS__URL: 'rediss//:geheim@host' } }],
    ['a wrong redis.url in a flag', { set: ['redis.url=geheim'] }],
    ['a misspelt key in a flag', { set: ['redis.ulr=redis://:geheim@host'] }],
    ['a flag without its path', { set: ['redis://:geheim@host'] }],
    ['a misspelt variable', { env: { CHATFILES_REDIS_URL: 'redis://:geheim@host' } }],
    ['a wrong redis.url in the file', {}, 'redis:\n  url: geheim\n'],
    ['a misspelt key in the file', {}, 'redis:\n  ulr: redis://:geheim@host\n'],
    ['an open quote in the file', {}, 'redis:\n  url: "redis://:geheim@host\n'],
    ['a stray bracket in the file', {}, 'redis:\n  url: redis://h]: geheim: ]"geheim"\n'],
    ['a URL with userinfo', { env: { CHATFILES_UPSTREAM__URL: 'https://u:geheim@x' } }],
    ['a URL with userinfo and no scheme', { env: { CHATFILES_UPSTREAM__URL: 'u:geheim@x' } }],
    ['a URL with a query', { env: { CHATFILES_PUBLIC_URL: 'https://x/?t=geheim' } }],
  ])('%s is never printed', async (_, options, yaml) => {
    const lines = await mistakes(options, yaml);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('\n')).not.toContain('geheim');
  });

  test('a name or value cannot write lines of its own', async () => {
    const lines = await mistakes({
      env: { 'CHATFILES_X\n\u001b[31m': '1', CHATFILES_LOG__LEVEL: 'a\nb\u2028\u009b31m' },
    });
    expect(lines).toHaveLength(2);
    // oxlint-disable-next-line no-control-regex -- they must not be there
    expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028]/);
  });
});

test.each([
  ['redirects.mode=follow', /redirects\.hosts is empty/],
  ['redirects.mode=maybe', /follow, pass or refuse/],
  ['redirects.hosts=10.0.0.1', /must be a host name/],
  ['tokens.anonymousDownloads=yes', /deny or withSecret/],
])('%s is a mistake', async (flag, complaint) => {
  expect((await mistakes({ set: [flag] })).join()).toMatch(complaint);
});

describe('warnings', () => {
  test.each([
    ['spool.diskBytes=1MB', 'answered with 503'],
    ['redirects.mode=pass', 'around the gateway'],
    ['redirects.mode=refuse redirects.hosts=files.example.com', 'nothing is followed there'],
    ['passthrough=token,sdk/chatfiles/part-upload/**', 'as many times too large as there are replicas'],
  ])('%s is accepted, and what follows from it is told', async (flags, follows) => {
    const { warnings } = await loadConfig({ env: URL_ENV, set: flags.split(' ') });
    expect(warnings).toEqual([expect.stringContaining(follows)]);
  });

  test.each([
    ['passthrough=users/', 'must be a path below'],
    ['passthrough=/**', 'must be a path below'],
    ['compat.headerValues=yes', 'must be one of presence, value'],
    ['compat.throttledStatus=500', 'must be 503 or 429'],
    ['compat.unavailableStatus=504', 'must be 502 or 503'],
  ])('%s is refused, and what may stand there is told', async (flag, told) => {
    await expect(loadConfig({ env: URL_ENV, set: [flag] })).rejects.toThrow(told);
  });

  test('paths and dialects are read from flags as from a file', async () => {
    const set = ['passthrough=token, users/**', 'compat.throttledStatus=429', 'compat.unavailableStatus=503'];
    const { config } = await loadConfig({ env: URL_ENV, set });
    expect(config.passthrough).toEqual(['token', 'users/**']);
    expect(config.compat).toEqual({ headerValues: 'presence', throttledStatus: 429, unavailableStatus: 503 });
  });

  test('a key that is set to its default needs none', async () => {
    const set = ['access.grantSeconds=300', 'redis.keyPrefix=chatfiles:'];
    expect((await loadConfig({ env: URL_ENV, set })).warnings).toEqual([]);
  });
});

describe('what a reload has to know', () => {
  test('the origin of every key that is set, and none for a default', async () => {
    await writeFile(file, 'quota:\n  perSecond: 10\n  maxQueued: 5\n');
    const env = { ...URL_ENV, CHATFILES_QUOTA__MAX_QUEUED: '6', CHATFILES_UPSTREAM__PROXY_FROM_ENVIRONMENT: 'yes' };
    const { origins } = await loadConfig({
      file,
      env: { ...env, HTTPS_PROXY: 'http://proxy:3128' },
      set: ['log.level=debug'],
      proxyFor: () => 'http://proxy:3128',
    });
    expect([...origins].map(([path, { text }]) => `${path} from ${text.replace(`${folder}/`, '')}`).toSorted()).toEqual(
      [
        'log.level from --set',
        'quota.maxQueued from CHATFILES_QUOTA__MAX_QUEUED',
        'quota.perSecond from gateway.yaml:2:3',
        'upstream.proxy from HTTPS_PROXY',
        'upstream.proxyFromEnvironment from CHATFILES_UPSTREAM__PROXY_FROM_ENVIRONMENT',
        'upstream.url from CHATFILES_UPSTREAM__URL',
      ],
    );
  });

  test('the files that were read', async () => {
    await writeFile(file, '');
    expect((await loadConfig({ file, env: {}, emulator: true })).files).toEqual([file]);
    expect((await loadConfig({ env: {}, emulator: true })).files).toEqual([]);
  });

  test('which keys may change, marked one by one or with their section', () => {
    const reload = new Map(configKeys().map((key) => [key.path, key.reload]));
    const paths = ['limits.fileBytes', 'destinations', 'quota.maxWaitMs', 'upstream.keyPassphrase', 'listen.port'];
    expect(paths.map((path) => reload.get(path))).toEqual([true, true, true, true, false]);
  });
});

test('every key has a variable, a description and a place in the list', () => {
  const keys = configKeys();
  expect(keys.find(({ path }) => path === 'spool.memoryPerUploadBytes')).toEqual({
    path: 'spool.memoryPerUploadBytes',
    env: 'CHATFILES_SPOOL__MEMORY_PER_UPLOAD_BYTES',
    description: expect.stringMatching(/\.$/),
    default: 512 * 1024,
    secret: false,
    reload: false,
  });
  expect(keys.filter(({ description }) => description.length < 10)).toEqual([]);
  expect(new Set(keys.map(({ env }) => env)).size).toBe(keys.length);
  expect(keys.filter(({ secret }) => secret).map(({ path }) => path)).toEqual([
    'listen.tls.keyPassphrase',
    'admin.token',
    'upstream.proxy',
    'upstream.keyPassphrase',
    'redis.url',
    'access.verify.agora',
    'access.verify.easemob',
    'secrets.digestKey',
  ]);
});
