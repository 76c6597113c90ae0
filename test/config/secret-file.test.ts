import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config.ts';

const TOKEN = 'geheim-0123456789abcdef';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chatfiles-secrets-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Loads with variables alone. */
const load = (env: Record<string, string>) => loadConfig({ env, emulator: true });

/** What is said of variables that cannot be used. */
async function mistakes(env: Record<string, string>): Promise<string[]> {
  const error: unknown = await load(env).catch((thrown: unknown) => thrown);
  if (!(error instanceof ConfigError)) throw new Error('the configuration was accepted', { cause: error });
  expect(error.message).not.toContain(TOKEN);
  return error.message
    .split('\n')
    .slice(1)
    .map((line) => line.trim().replaceAll(folder, '/run'));
}

/** Writes a secret into a file and names it. */
async function hold(text: string | Buffer): Promise<string> {
  const file = join(folder, 'secret');
  await writeFile(file, text);
  return file;
}

describe('a secret in a file of its own', () => {
  test.each([
    ['as it is', TOKEN],
    ['with the line end that echo writes', `${TOKEN}\n`],
    ['with that of Windows', `${TOKEN}\r\n`],
  ])('is read %s', async (_, text) => {
    const file = await hold(text);
    const { config, origins, files } = await load({ CHATFILES_ADMIN__TOKEN_FILE: file });
    expect(config.admin.token).toBe(TOKEN);
    expect(origins.get('admin.token')?.text).toBe(`CHATFILES_ADMIN__TOKEN_FILE (${file})`);
    expect(files).toEqual([file]);
  });

  test('is read anew with each load, also through a link that was swapped', async () => {
    const [old, fresh, link] = ['old', 'fresh', 'link'].map((name) => join(folder, name)) as [string, string, string];
    await writeFile(old, `${TOKEN}-old`);
    await writeFile(fresh, `${TOKEN}-fresh`);
    await symlink(old, link);
    const env = { CHATFILES_ADMIN__TOKEN_FILE: link };
    expect((await load(env)).config.admin.token).toBe(`${TOKEN}-old`);
    await rm(link);
    await symlink(fresh, link);
    expect((await load(env)).config.admin.token).toBe(`${TOKEN}-fresh`);
  });

  test('may hold a list, an item a line', async () => {
    const [one, two] = ['a', 'b'].map((digit) => `org/${digit}=${digit.repeat(32)}:${'0'.repeat(32)}`);
    const file = await hold(`${one}\n${two}\n`);
    const { config } = await load({ CHATFILES_ACCESS__VERIFY__AGORA_FILE: file });
    expect(config.access.verify.agora.map(({ app }) => app)).toEqual(['org/a', 'org/b']);
  });

  test('keeps what more than one line end there is', async () => {
    const file = await hold(`${TOKEN}\n\n`);
    expect(await mistakes({ CHATFILES_ADMIN__TOKEN_FILE: file })).toEqual([
      'CHATFILES_ADMIN__TOKEN_FILE (/run/secret)  admin.token: must be 16 to 512 letters, digits or any of ._~+/=-, got a value that is kept secret',
    ]);
  });
});

describe('a mistake', () => {
  test('is a file that is not there, that is a folder, empty, too large, or no text', async () => {
    const env = (file: string) => ({ CHATFILES_ADMIN__TOKEN_FILE: file });
    const said = async (file: string) =>
      (await mistakes(env(file))).join().replace('CHATFILES_ADMIN__TOKEN_FILE', '').replace('admin.token: ', '').trim();
    expect(await said(join(folder, 'none'))).toBe('(/run/none)  there is no such file');
    await mkdir(join(folder, 'folder'));
    expect(await said(join(folder, 'folder'))).toBe('(/run/folder)  is a folder; name the file in it');
    expect(await said(await hold('\n'))).toBe('(/run/secret)  is empty');
    const large = 'x'.repeat(64 * 1024 + 1);
    expect(await said(await hold(large))).toBe('(/run/secret)  has more than 64KB; is it the right file?');
    const binary = Buffer.from([0xff, 0xfe, 0x00]);
    expect(await said(await hold(binary))).toBe('(/run/secret)  is not UTF-8 text; save it as UTF-8');
    expect(await said('/')).toBe('(/)  is a folder; name the file in it');
    expect(await said('/dev/zero')).toBe('(/dev/zero)  is no file but a pipe, a socket or a device');
  });

  test('is a pipe, which would keep a reload waiting', async () => {
    const pipe = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    expect((await mistakes({ CHATFILES_REDIS__URL_FILE: pipe })).join()).toContain('is no file but a pipe');
  });

  test.each(['CHATFILES_ADMIN__TOKEN_FILE', 'CHATFILES_REDIS__URL_FILE'])(
    'is the secret itself in the place of its file, %s, which is not repeated',
    async (name) => {
      for (const secret of [TOKEN, `redis://:${TOKEN}@host:6379`, `/${TOKEN}`]) {
        expect((await mistakes({ [name]: secret })).join()).toContain('must be the path of a file');
      }
    },
  );

  test('is to give both, or a file for what is no secret, or a misspelt name', async () => {
    const file = await hold(TOKEN);
    expect(
      await mistakes({
        CHATFILES_ADMIN__TOKEN: TOKEN,
        CHATFILES_ADMIN__TOKEN_FILE: file,
        CHATFILES_LISTEN__PORT_FILE: file,
        CHATFILES_REDIS__ULR_FILE: file,
      }),
    ).toEqual([
      'CHATFILES_ADMIN__TOKEN_FILE  is set beside CHATFILES_ADMIN__TOKEN; keep one of them',
      'CHATFILES_LISTEN__PORT_FILE  only secrets are read from a file of their own; set CHATFILES_LISTEN__PORT to the value itself',
      'CHATFILES_REDIS__ULR_FILE  unknown variable, did you mean CHATFILES_REDIS__URL_FILE?',
    ]);
  });

  test('is none where the variable, or that of its file, is empty', async () => {
    const file = await hold(TOKEN);
    const { config } = await load({
      CHATFILES_ADMIN__TOKEN: '',
      CHATFILES_ADMIN__TOKEN_FILE: file,
      CHATFILES_REDIS__URL_FILE: '',
    });
    expect([config.admin.token, config.redis.url]).toEqual([TOKEN, undefined]);
  });

  test('is none where a key ends with the word itself', async () => {
    const { config } = await load({ CHATFILES_UPSTREAM__CA_FILE: '/etc/ca.pem' });
    expect(config.upstream.caFile).toBe('/etc/ca.pem');
  });
});
