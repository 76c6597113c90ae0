import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const URL_ENV = { CHATFILES_UPSTREAM__URL: 'https://a1.easemob.com' };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chatfiles-commands-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Ended = { code: number; stdout: string; stderr: string };

/** Runs the real process to its end, in the folder of the test. */
function run(args: string, env: Record<string, string> = URL_ENV): Promise<Ended> {
  const options = { cwd: folder, env: { PATH: process.env['PATH'], ...env } };
  return new Promise((resolve) => {
    execFile(process.execPath, [join(ROOT, 'src/main.ts'), ...args.split(' ')], options, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

const write = (yaml: string | Buffer) => writeFile(join(folder, 'my.yaml'), yaml);

describe('config check', () => {
  test('says which file is fine and where its values come from, and ends with 0', async () => {
    await write('quota: { perSecond: 10 }\nlog: { level: warn }\n');
    expect(await run('config check my.yaml --set listen.port=1')).toEqual({
      code: 0,
      stdout:
        'my.yaml is fine: keys set: 2 from the file, 1 from the environment, 1 by --set; the others have their default.\n',
      stderr: '',
    });
    expect((await run('config check --config my.yaml')).stdout).toMatch(/^my\.yaml is fine: /);
    expect((await run('config check --emulator', {})).stdout).toBe(
      'Without a file (--config names one), the configuration is fine: every key has its default.\n',
    );
  });

  test('tells all mistakes with their places on the error output, and ends with 1', async () => {
    await write('quota:\n  perSecnd: 10\nlisten: { port: "80" }\n');
    const { code, stdout, stderr } = await run('config check my.yaml', { CHATFILES_LOG__LEVEL: 'loud' });
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.trimEnd().split('\n')).toEqual([
      'The configuration has 4 mistakes:',
      '  my.yaml:2:3  quota.perSecnd: unknown key, did you mean quota.perSecond?',
      '  my.yaml:3:11  listen.port: must be a whole number from 0 to 65535, got "80" (leave the quotes away)',
      '  CHATFILES_LOG__LEVEL  log.level: must be one of trace, debug, info, warn, error, fatal, silent, got "loud"',
      expect.stringMatching(/^ {2}upstream\.url: is missing/),
    ]);
  });

  test('tries the files that keys name and makes none, unless it is told to leave them alone', async () => {
    await write('upstream:\n  caFile: none.pem\nspool: { dir: spool }\n');
    const { code, stderr } = await run('config check my.yaml');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/ my\.yaml:2:3 {2}upstream\.caFile: .*no such file/)]);
    expect((await run('config check my.yaml --no-files')).code).toBe(0);
    expect(await readdir(folder)).toEqual(['my.yaml']);
  });

  test('shows warnings, which are mistakes only when that is wanted', async () => {
    const warned = await run('config check --set spool.diskBytes=1MB');
    expect(warned).toMatchObject({ code: 0, stderr: expect.stringMatching(/^warning: spool\.diskBytes .*\n$/) });
    const strict = await run('config check --strict --set spool.diskBytes=1MB');
    expect(strict).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('--strict') });
  });

  test('tells the same in JSON', async () => {
    await write('quota:\n  perSecnd: 10\n');
    const { code, stdout, stderr } = await run('config check my.yaml --json --set listen.port=x');
    expect([code, stderr]).toEqual([1, '']);
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      file: 'my.yaml',
      mistakes: [
        {
          key: 'quota.perSecnd',
          message: 'unknown key, did you mean quota.perSecond?',
          source: 'file',
          place: 'my.yaml:2:3',
          file: 'my.yaml',
          line: 2,
          column: 3,
        },
        { key: 'listen.port', message: expect.stringContaining('got "x"'), source: 'flag', place: '--set' },
      ],
      warnings: [],
    });
    expect(JSON.parse((await run('config check --json')).stdout)).toMatchObject({ ok: true, file: null, mistakes: [] });
  });

  test.each([
    ['config check my.yaml --config other.yaml', 'name one file, not two'],
    ['config check a.yaml b.yaml', 'too many arguments'],
    ['config check --confg my.yaml', 'Did you mean --config?'],
    ['config chek', 'Did you mean check?'],
    ['config', 'Usage:'],
    ['start --config', 'argument missing'],
  ])('%s ends with 2, as a command that was not understood', async (args, told) => {
    expect(await run(args)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(told) });
  });

  test('tells of its exit codes where one looks for them', async () => {
    expect(await run('config check --help')).toMatchObject({ code: 0, stdout: expect.stringContaining('Exit codes:') });
  });
});

describe('config print', () => {
  test('writes what the next start would read, secrets left out', async () => {
    await write('limits: { fileBytes: 20MB }\n');
    await writeFile(join(folder, 'secret'), 'redis://:geheim@redis:6379\n');
    const env = { ...URL_ENV, CHATFILES_REDIS__URL_FILE: 'secret' };
    const { code, stdout } = await run('config print --changed --config my.yaml', env);
    expect(code).toBe(0);
    expect(stdout.replaceAll(/ +#/g, ' #').split('\n')).toEqual([
      'upstream:',
      '  url: https://a1.easemob.com # CHATFILES_UPSTREAM__URL',
      'limits:',
      '  fileBytes: 20MB # my.yaml:1:11',
      'redis:',
      ' #url: redis://***@redis:6379 # secret, from CHATFILES_REDIS__URL_FILE (secret)',
      '',
    ]);
    await write(stdout);
    expect((await run('config print --changed --config my.yaml', env)).stdout).toContain('fileBytes: 20MB');
  });

  test('of a configuration with mistakes ends with them, and with 1', async () => {
    expect(await run('config print', {})).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('upstream.url: is missing'),
    });
  });
});

test('config schema prints config/schema.json', async () => {
  const { code, stdout } = await run('config schema', {});
  expect([code, stdout]).toEqual([0, await readFile(join(ROOT, 'config/schema.json'), 'utf8')]);
});
