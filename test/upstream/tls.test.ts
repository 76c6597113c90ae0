import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTls, type TlsConfig } from '../../src/upstream/tls.ts';
import { type Authority, createAuthority, type Identity } from '../kit/certificates.ts';

let ca: Authority;
let one: Identity;
let other: Identity;
let locked: Identity;

beforeAll(async () => {
  ca = await createAuthority();
  one = await ca.issue('one');
  other = await ca.issue('other');
  locked = await ca.issue('locked', { passphrase: 'open sesame' });
});
afterAll(() => ca[Symbol.asyncDispose]());

const open = (config: Partial<TlsConfig>) => openTls({ caOnly: false, minTlsVersion: 'TLSv1.2', ...config });
const mistakesOf = async (config: Partial<TlsConfig>) => {
  const opened = await open(config);
  return 'mistakes' in opened ? opened.mistakes : [];
};

describe('files for TLS', () => {
  it('need not be there', async () => {
    expect(await mistakesOf({})).toEqual([]);
  });

  it('may hold a whole bundle, with words between the certificates', async () => {
    const bundle = join(ca.folder, 'bundle.pem');
    await writeFile(bundle, `# ours\r\n${ca.cert}\nand another:\n${one.cert}`);
    expect(await mistakesOf({ caFile: bundle })).toEqual([]);
  });

  it('show one context to the upstream and another, without our certificate, to a proxy', async () => {
    const plain = await open({ caFile: ca.certFile });
    const mutual = await open({ certFile: one.certFile, keyFile: one.keyFile });
    expect(plain).toSatisfy((tls: typeof plain) => 'toProxy' in tls && tls.toProxy === tls.toUpstream);
    expect(mutual).toSatisfy((tls: typeof plain) => 'toProxy' in tls && tls.toProxy !== tls.toUpstream);
  });

  it('that are wrong are all told at once, each by its key', async () => {
    const missing = join(ca.folder, 'missing.pem');
    expect(await mistakesOf({ caFile: missing, certFile: ca.folder, keyFile: one.certFile })).toEqual([
      { key: 'caFile', message: `there is no such file: ${missing}` },
      { key: 'certFile', message: `is a folder; name the file in it: ${ca.folder}` },
      { key: 'keyFile', message: `holds no private key in PEM form that could be read: ${one.certFile}` },
    ]);
  });

  it('must hold certificates', async () => {
    const empty = join(ca.folder, 'empty.pem');
    const damaged = join(ca.folder, 'damaged.pem');
    await writeFile(empty, one.key);
    await writeFile(damaged, ca.cert + one.cert.replace('MII', 'MIX'));
    expect(await mistakesOf({ caFile: empty })).toEqual([
      { key: 'caFile', message: `holds no certificate in PEM form (-----BEGIN CERTIFICATE-----): ${empty}` },
    ]);
    expect(await mistakesOf({ caFile: damaged })).toMatchObject([
      { key: 'caFile', message: expect.stringMatching(/^certificate 2 of 2/) },
    ]);
  });

  it('must belong to each other', async () => {
    expect(await mistakesOf({ certFile: one.certFile, keyFile: other.keyFile })).toEqual([
      { key: 'keyFile', message: 'is not the key of the (first) certificate in upstream.certFile' },
    ]);
  });

  it('that are locked need their passphrase, which no message repeats', async () => {
    const { certFile, keyFile } = locked;
    expect(await mistakesOf({ certFile, keyFile, keyPassphrase: 'open sesame' })).toEqual([]);
    expect(await mistakesOf({ certFile, keyFile })).toEqual([
      { key: 'keyFile', message: `is encrypted, and upstream.keyPassphrase is not set: ${keyFile}` },
    ]);
    expect(await mistakesOf({ certFile, keyFile, keyPassphrase: 'pa55word' })).toEqual([
      { key: 'keyFile', message: `is encrypted, and upstream.keyPassphrase does not fit: ${keyFile}` },
    ]);
  });

  it('that may not be read are told so', async () => {
    const folder = join(ca.folder, 'closed');
    await mkdir(folder);
    await writeFile(join(folder, 'ca.pem'), ca.cert);
    await chmod(join(folder, 'ca.pem'), 0o000);
    const mistakes = await mistakesOf({ caFile: join(folder, 'ca.pem') });
    // Root may read everything.
    const expected = process.getuid?.() === 0 ? [] : [{ key: 'caFile', message: expect.stringMatching(/permissions/) }];
    expect(mistakes).toEqual(expected);
  });
});
