/**
 * TLS on the way out: whom it trusts, and who it says it is. The files are read once, at the start, and every mistake in
 * them is told with the key that names the file: a connection that fails later would not say which of them is wrong.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, getCACertificates, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { UpstreamConfig } from './config.ts';

/** The keys of the configuration that TLS is made of. */
export type TlsConfig = Pick<
  UpstreamConfig,
  'caFile' | 'caOnly' | 'certFile' | 'keyFile' | 'keyPassphrase' | 'minTlsVersion'
>;

/**
 * What connections are made with. Made once: the list of the public CAs is long, and would be read anew with each
 * connection. A proxy is shown no certificate, it is meant for the upstream.
 */
export type UpstreamTls = { toUpstream: SecureContext; toProxy: SecureContext };

/** One mistake: the key, below `upstream`, whose file cannot be used, and why. */
export type TlsMistake = { key: keyof TlsConfig; message: string };

const UNREADABLE: Record<string, string> = {
  ENOENT: 'there is no such file',
  EISDIR: 'is a folder; name the file in it',
  EACCES: 'may not be read by this user; check its permissions',
  ENOTDIR: 'a part of the path is no folder',
};

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Reads the files that the configuration names; gives what they are good for, or all that is wrong with them. */
export async function openTls(config: TlsConfig): Promise<UpstreamTls | { mistakes: TlsMistake[] }> {
  const mistakes: TlsMistake[] = [];
  const complain = (key: keyof TlsConfig, message: string) => void mistakes.push({ key, message });

  const readText = async (key: 'caFile' | 'certFile' | 'keyFile'): Promise<string | undefined> => {
    const file = config[key];
    if (file === undefined) return undefined;
    try {
      return await readFile(file, 'utf8');
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
      complain(key, `${UNREADABLE[code] ?? `cannot be read (${code})`}: ${file}`);
      return undefined;
    }
  };

  const readCertificates = async (key: 'caFile' | 'certFile'): Promise<X509Certificate[]> => {
    const text = await readText(key);
    if (text === undefined) return [];
    const blocks = text.match(CERTIFICATE) ?? [];
    if (blocks.length === 0) complain(key, 'holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)');
    return blocks.flatMap((block, index) => {
      try {
        return new X509Certificate(block);
      } catch {
        complain(key, `certificate ${index + 1} of ${blocks.length} in it is damaged`);
        return [];
      }
    });
  };

  const readKey = async (): Promise<KeyObject | undefined> => {
    const text = await readText('keyFile');
    if (text === undefined) return undefined;
    const passphrase = config.keyPassphrase;
    try {
      return createPrivateKey({ key: text, ...(passphrase === undefined ? {} : { passphrase }) });
    } catch {
      const isEncrypted = /-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(text);
      if (!isEncrypted) complain('keyFile', 'holds no private key in PEM form that could be read');
      else if (passphrase === undefined) complain('keyPassphrase', 'is missing: the key in upstream.keyFile needs one');
      else complain('keyPassphrase', 'does not fit the key in upstream.keyFile');
      return undefined;
    }
  };

  const [authorities, chain, key] = await Promise.all([
    readCertificates('caFile'),
    readCertificates('certFile'),
    readKey(),
  ]);
  const [own] = chain;
  if (own && key && !own.checkPrivateKey(key)) {
    complain('keyFile', 'is not the key of the (first) certificate in upstream.certFile');
  }
  if (mistakes.length > 0) return { mistakes };

  const trust: SecureContextOptions = { minVersion: config.minTlsVersion };
  if (config.caFile !== undefined) {
    trust.ca = [...(config.caOnly ? [] : getCACertificates('default')), ...authorities.map(String)];
  }
  const identity = own && key ? { cert: chain.join(''), key: key.export({ type: 'pkcs8', format: 'pem' }) } : {};
  try {
    const toProxy = createSecureContext(trust);
    return { toProxy, toUpstream: own && key ? createSecureContext({ ...trust, ...identity }) : toProxy };
  } catch (cause) {
    // What OpenSSL refuses although it can be read: a key too short for its security level.
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    return { mistakes: [{ key: own ? 'certFile' : 'caFile', message: `cannot be used (${code})` }] };
  }
}
