import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, type LoadOptions } from '../../src/config.ts';
import { AGORA, EASEMOB } from './tokens-kit.ts';

const load = async (env: LoadOptions['env']) => (await loadConfig({ env, emulator: true })).config;
const mistake = async (env: LoadOptions['env']): Promise<string> => {
  const error: unknown = await load(env).catch((thrown: unknown) => thrown);
  if (!(error instanceof ConfigError)) throw new Error('the configuration was accepted', { cause: error });
  return error.message;
};

describe('the keys of apps', () => {
  it('may be given as texts in a variable', async () => {
    const agora = `${AGORA.app}=${AGORA.appId}:${AGORA.certificate}`;
    const easemob = `${EASEMOB.app}=${EASEMOB.clientId}:${EASEMOB.clientSecret}`;
    const config = await load({
      CHATFILES_ACCESS__VERIFY__AGORA: `${agora},${agora.replace('o/a', 'o/b')}`,
      CHATFILES_ACCESS__VERIFY__EASEMOB: easemob,
    });
    expect(config.access.verify).toEqual({ agora: [AGORA, { ...AGORA, app: 'o/b' }], easemob: [EASEMOB] });
  });

  it.each([
    ['geheim', 'must be a section with app, appId and certificate'],
    ['o/a=geheim', 'must be a section with app, appId and certificate'],
    [`o/a=${AGORA.appId}:geheim`, 'must have a certificate of 32 hexadecimal digits'],
    [`geheim=${AGORA.appId}:${AGORA.certificate}`, 'must have an app, as org/app'],
  ])('are told to be wrong without being shown (%s)', async (text, complaint) => {
    const message = await mistake({ CHATFILES_ACCESS__VERIFY__AGORA: text });
    expect(message).toContain(`access.verify.agora[0]: ${complaint}`);
    expect(message).not.toMatch(/geheim|5CFd/);
  });
});

describe('the digest key', () => {
  it('is taken from the environment', async () => {
    const key = 'k'.repeat(32);
    expect((await load({ CHATFILES_SECRETS__DIGEST_KEY: key })).secrets.digestKey).toBe(key);
    expect((await load({})).secrets.digestKey).toBeUndefined();
  });

  it('must be long enough, and is never shown', async () => {
    const message = await mistake({ CHATFILES_SECRETS__DIGEST_KEY: 'geheim' });
    expect(message).toMatch(/secrets\.digestKey: must be a text of 32 to 512 characters/);
    expect(message).not.toContain('geheim');
  });
});
