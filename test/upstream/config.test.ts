import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, type LoadOptions } from '../../src/config.ts';

const URL_KEY = 'upstream.url=https://a1.easemob.com';

const load = async (set: string[], more: Partial<LoadOptions> = {}) =>
  (await loadConfig({ env: {}, set: [URL_KEY, ...set], ...more })).config.upstream;

async function mistakes(set: string[], more: Partial<LoadOptions> = {}): Promise<string[]> {
  const error: unknown = await load(set, more).catch((thrown: unknown) => thrown);
  if (!(error instanceof ConfigError)) throw new Error('the configuration was accepted', { cause: error });
  return error.message.split('\n').slice(1);
}

describe("the proxy's URL", () => {
  it.each([
    'http://proxy.internal:3128',
    'http://proxy.internal:3128/',
    'https://user:pa55%2Fword@proxy.internal',
    'http://[2001:db8::1]:3128',
    'http://user:@10.0.0.1:8080',
  ])('may be %s', async (proxy) => {
    expect((await load([`upstream.proxy=${proxy}`])).proxy).toBe(proxy);
  });

  it.each([
    ['proxy.internal:3128', /must be a URL like http:\/\/proxy/],
    ['http://', /must be a URL like/],
    ['http:///proxy', /must be a URL like/],
    ['socks5://pa55word@proxy.internal:1080', /SOCKS is not spoken here/],
    ['http://proxy.internal:3128/pa55word', /must end with the host and the port/],
    ['http://proxy.internal:3128?pa55word', /must end with the host and the port/],
    ['http://user:pa55word#1@proxy.internal:3128', /must (?:end with|be a URL)/],
    ['http://user:pa55word%E0%A4@proxy.internal:3128', /has a % in its user name or password/],
    ['http://user:pa55word@proxy.internal:99999', /must be a URL like/],
  ])('may not be %s, and the message repeats nothing of it', async (proxy, words) => {
    const [line = '', ...more] = await mistakes([`upstream.proxy=${proxy}`]);
    expect(more).toEqual([]);
    expect(line).toMatch(words);
    expect(line).not.toMatch(/pa55word|internal:9/);
  });
});

describe('keys that need each other', () => {
  it.each([
    [['upstream.certFile=/c.pem'], /upstream\.certFile: needs upstream\.keyFile beside it/],
    [['upstream.keyFile=/k.pem'], /upstream\.keyFile: needs upstream\.certFile beside it/],
    [['upstream.caOnly=true'], /upstream\.caOnly: needs upstream\.caFile beside it, or nobody/],
    [['upstream.keyPassphrase=pa55word'], /upstream\.keyPassphrase: needs upstream\.keyFile beside it$/],
    [['upstream.proxy=http://p:1', 'upstream.proxyFromEnvironment=true'], /which of the two/],
    [['upstream.minTlsVersion=TLSv1.1'], /must be TLSv1\.2 or TLSv1\.3/],
    [['upstream.caFile='], /must be the path of a file/],
  ])('%s is one mistake', async (set, words) => {
    const lines = await mistakes(set);
    expect(lines).toEqual([expect.stringMatching(words)]);
    expect(lines.join('')).not.toContain('pa55word');
  });
});

describe('the proxy of the environment', () => {
  const OBEY = ['upstream.proxyFromEnvironment=true'];
  const proxyFor = (found: string) => ({ proxyFor: () => found });

  it('is not asked for unless somebody wants it', async () => {
    expect((await load([], proxyFor('http://proxy:1'))).proxy).toBeUndefined();
    expect((await load(OBEY, proxyFor('http://proxy:1'))).proxy).toBe('http://proxy:1');
    expect((await load(OBEY, proxyFor(''))).proxy).toBeUndefined();
  });

  it('is asked for by the address of the upstream', async () => {
    const asked: string[] = [];
    await load(OBEY, { proxyFor: (url) => (asked.push(url), '') });
    expect(asked).toEqual(['https://a1.easemob.com']);
  });

  it.each(['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'])(
    'in %s is a plain one when it names no scheme',
    async (name) => {
      const options = { env: { [name]: 'proxy.internal:3128' }, ...proxyFor('https://proxy.internal:3128') };
      expect((await load(OBEY, options)).proxy).toBe('http://proxy.internal:3128');
    },
  );

  it('that cannot be used is a mistake of its variable, told without its password', async () => {
    const text = 'socks5://user:pa55word@proxy.internal:1080';
    expect(await mistakes(OBEY, { env: { HTTPS_PROXY: text }, ...proxyFor(text) })).toEqual([
      '  HTTPS_PROXY  must be an HTTP proxy (http: or https:), SOCKS is not spoken here (upstream.proxyFromEnvironment obeys it)',
    ]);
  });
});
