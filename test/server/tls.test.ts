import { execFileSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openServerTls, type ServerTlsConfig, serverTlsFiles } from '../../src/server/tls.ts';
import { type Authority, createAuthority, type Identity } from '../kit/certificates.ts';

const DAY_MS = 86_400_000;

let ca: Authority;
let one: Identity;
let other: Identity;
let locked: Identity;
let expired: Identity;

beforeAll(async () => {
  ca = await createAuthority();
  one = await ca.issue('files.example.com', { names: ['files.example.com', '192.0.2.1'] });
  other = await ca.issue('other');
  locked = await ca.issue('locked', { passphrase: 'open sesame' });
  expired = await ca.issue('expired', { expired: true });
});
afterAll(() => ca[Symbol.asyncDispose]());

const filesOf = ({ certFile, keyFile }: Identity) => ({ certFile, keyFile });
/** Opens them at a time so many days from now. */
const open = (config: Partial<ServerTlsConfig>, days = 0) =>
  openServerTls(
    { minVersion: 'TLSv1.2', clientCertificates: 'off', hstsSeconds: 0, ...config },
    Date.now() + days * DAY_MS,
  );
const mistakesOf = async (config: Partial<ServerTlsConfig>) => {
  const opened = await open(config);
  // They are read at the same time, and the first to be read is the first to be told.
  return opened && 'mistakes' in opened ? opened.mistakes.toSorted((a, b) => (a.key < b.key ? -1 : 1)) : [];
};
const warningsOf = async (config: Partial<ServerTlsConfig>, days = 0) => {
  const opened = await open(config, days);
  if (!opened || 'mistakes' in opened) throw new Error(JSON.stringify(opened));
  return opened.warnings;
};

describe('files for TLS with clients', () => {
  it('need not be there, which means plain HTTP', async () => {
    expect(await open({})).toBeUndefined();
  });

  it('are told by the names, the end and the digest of their certificate', async () => {
    expect(await open(filesOf(one), -5)).toMatchObject({
      certificate: {
        names: 'DNS:files.example.com, IP Address:192.0.2.1',
        expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
      warnings: [],
    });
  });

  it('are all to be watched', () => {
    const config = { minVersion: 'TLSv1.2', clientCertificates: 'require', hstsSeconds: 0 } as const;
    expect(serverTlsFiles(config)).toEqual([]);
    expect(serverTlsFiles({ ...config, certFile: 'a', keyFile: 'b', clientCaFile: 'c' })).toEqual(['a', 'b', 'c']);
  });

  it('that are wrong are all told at once, each by its key and its file', async () => {
    const missing = join(ca.folder, 'missing.pem');
    expect(await mistakesOf({ certFile: missing, keyFile: ca.certFile, clientCaFile: ca.folder })).toEqual([
      { key: 'certFile', message: `there is no such file: ${missing}` },
      { key: 'clientCaFile', message: `is a folder; name the file in it: ${ca.folder}` },
      { key: 'keyFile', message: `holds no private key in PEM form that could be read: ${ca.certFile}` },
    ]);
  });

  it('must belong to each other, the own certificate first', async () => {
    expect(await mistakesOf({ certFile: one.certFile, keyFile: other.keyFile })).toEqual([
      {
        key: 'keyFile',
        message: `is not the key of the (first) certificate in listen.tls.certFile: ${other.keyFile}`,
      },
    ]);
    const turned = join(ca.folder, 'turned.pem');
    await writeFile(turned, ca.cert + one.cert);
    expect(await mistakesOf({ certFile: turned, keyFile: one.keyFile })).toEqual([
      {
        key: 'keyFile',
        message: "fits certificate 2 in listen.tls.certFile; the server's own must come first there, then its chain",
      },
    ]);
  });

  it('in DER form are told how to become PEM', async () => {
    const [cert, key] = [join(ca.folder, 'one.der'), join(ca.folder, 'one.key.der')];
    execFileSync('openssl', ['x509', '-in', one.certFile, '-outform', 'DER', '-out', cert]);
    execFileSync('openssl', ['pkey', '-in', one.keyFile, '-outform', 'DER', '-out', key]);
    expect(await mistakesOf({ certFile: cert, keyFile: key })).toEqual([
      { key: 'certFile', message: expect.stringMatching(/holds no certificate in PEM form.*openssl x509 -inform DER/) },
      { key: 'keyFile', message: expect.stringMatching(/holds no private key in PEM form.*openssl pkey -inform DER/) },
    ]);
  });

  it('that are locked need their passphrase, which no message repeats', async () => {
    expect(await mistakesOf({ ...filesOf(locked), keyPassphrase: 'open sesame' })).toEqual([]);
    expect(await mistakesOf(filesOf(locked))).toEqual([
      { key: 'keyFile', message: `is encrypted, and listen.tls.keyPassphrase is not set: ${locked.keyFile}` },
    ]);
    expect(await mistakesOf({ ...filesOf(locked), keyPassphrase: 'pa55word' })).toEqual([
      { key: 'keyFile', message: `is encrypted, and listen.tls.keyPassphrase does not fit: ${locked.keyFile}` },
    ]);
  });

  it('with a key that is too short for today are a mistake, and not a surprise at the first client', async () => {
    const [cert, key] = [join(ca.folder, 'short.pem'), join(ca.folder, 'short.key')];
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:512',
        '-nodes',
        '-days',
        '9',
        '-subj',
        '/CN=short',
        '-keyout',
        key,
        '-out',
        cert,
      ],
      { stdio: 'ignore' },
    );
    await chmod(key, 0o600);
    expect(await mistakesOf({ certFile: cert, keyFile: key })).toEqual([
      { key: 'certFile', message: `cannot be used (ERR_SSL_EE_KEY_TOO_SMALL): ${cert}` },
    ]);
  });
});

describe('a certificate', () => {
  it('that has run out is warned of, with its date', async () => {
    expect(await warningsOf(filesOf(expired))).toEqual([
      expect.stringMatching(
        /^the certificate in listen\.tls\.certFile \(.*\) ran out on \d{4}-\d\d-\d\d \d\d:\d\d UTC, so clients refuse it: renew it$/,
      ),
    ]);
  });

  it('that is not valid yet is warned of', async () => {
    expect(await warningsOf(filesOf(one), -11)).toEqual([expect.stringMatching(/is not valid before .* UTC/)]);
  });

  it.each([
    [-5, []],
    [0, [expect.stringMatching(/runs out on .* UTC, in (9|10) days: renew it$/)]],
    [8.5, [expect.stringMatching(/in 1 day: renew it$/)]],
  ])('that is about to run out is warned of for two weeks (after %s days)', async (days, warnings) => {
    expect(await warningsOf(filesOf(one), days)).toEqual(warnings);
  });

  it('of an authority of clients is warned of too, each by its place', async () => {
    const authorities = join(ca.folder, 'authorities.pem');
    await writeFile(authorities, ca.cert + expired.cert);
    expect(await warningsOf({ ...filesOf(one), clientCaFile: authorities })).toEqual([
      expect.stringMatching(/^the certificate in listen\.tls\.certFile/),
      expect.stringMatching(
        /^certificate 2 of 2 in listen\.tls\.clientCaFile .* UTC, so it vouches for no client: renew it$/,
      ),
    ]);
  });
});
