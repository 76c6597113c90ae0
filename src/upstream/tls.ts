/**
 * TLS on the way out: whom it trusts, and who it says it is. The files are read when the configuration is.
 */
import { createSecureContext, getCACertificates, type SecureContext, type SecureContextOptions } from 'node:tls';
import { codeOf, openPemFiles, type PemMistake } from '../pem.ts';
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
export type TlsMistake = PemMistake<keyof TlsConfig>;

/** Reads the files that the configuration names; gives what they are good for, or all that is wrong with them. */
export async function openTls(config: TlsConfig): Promise<UpstreamTls | { mistakes: TlsMistake[] }> {
  const files = openPemFiles<keyof TlsConfig>('upstream');
  const [authorities, chain, key] = await Promise.all([
    files.readCertificates('caFile', config.caFile),
    files.readCertificates('certFile', config.certFile),
    files.readKey('keyFile', config.keyFile, config.keyPassphrase),
  ]);
  const [own] = chain;
  if (own && key && !own.checkPrivateKey(key)) {
    files.complain('keyFile', 'is not the key of the (first) certificate in upstream.certFile');
  }
  if (files.mistakes.length > 0) return { mistakes: files.mistakes };

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
    return { mistakes: [{ key: own ? 'certFile' : 'caFile', message: `cannot be used (${codeOf(cause)})` }] };
  }
}
