/**
 * TLS with clients: which certificate they are shown, and whose certificates are taken from them. Files that cannot be
 * used are mistakes; a certificate that is out of its time is a warning, since another start would not mend it.
 */
import type { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { codeOf, openPemFiles, type PemMistake } from '../pem.ts';
import type { ListenConfig } from './listen-config.ts';

/** The keys of the configuration that TLS with clients is made of. */
export type ServerTlsConfig = ListenConfig['tls'];

/** What the files hold, ready for a server. */
export type ServerTls = {
  context: SecureContextOptions;
  clientCertificates: ServerTlsConfig['clientCertificates'];
  /** What the certificate is for, until when, and by which digest it is told from another. */
  certificate: { names: string; expiresAt: string; sha256: string };
  /** What the operator should know of the certificates. */
  warnings: string[];
};

/** One mistake: the key, below `listen.tls`, whose file cannot be used, and why. */
export type ServerTlsMistake = PemMistake<keyof ServerTlsConfig>;

const DAY_MS = 86_400_000;

/** How long before its end a certificate is warned of. */
const WARN_BEFORE_MS = 14 * DAY_MS;

/** The names of a certificate that are told, at most. */
const MAX_NAMES = 200;

/** The files that this is read from, to be watched for changes. */
export const serverTlsFiles = ({ certFile, keyFile, clientCaFile }: ServerTlsConfig): string[] =>
  [certFile, keyFile, clientCaFile].filter((file) => file !== undefined);

/** Reads the files that the configuration names; gives all that is wrong with them, or nothing where there is no TLS. */
export async function openServerTls(
  config: ServerTlsConfig,
  now: number,
): Promise<ServerTls | { mistakes: ServerTlsMistake[] } | undefined> {
  if (config.certFile === undefined) return undefined;
  const files = openPemFiles<keyof ServerTlsConfig>('listen.tls');
  const [chain, key, authorities] = await Promise.all([
    files.readCertificates('certFile', config.certFile),
    files.readKey('keyFile', config.keyFile, config.keyPassphrase),
    files.readCertificates('clientCaFile', config.clientCaFile),
  ]);
  const [own] = chain;
  if (own && key && !own.checkPrivateKey(key)) {
    const place = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
    const message =
      place === -1
        ? `is not the key of the (first) certificate in listen.tls.certFile: ${config.keyFile}`
        : `fits certificate ${place + 1} in listen.tls.certFile; the server's own must come first there, then its chain`;
    files.complain('keyFile', message);
  }
  if (files.mistakes.length > 0 || !own || !key) return { mistakes: files.mistakes };

  const context: SecureContextOptions = {
    cert: chain.join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    minVersion: config.minVersion,
  };
  if (authorities.length > 0) context.ca = authorities.map(String);
  try {
    createSecureContext(context);
  } catch (cause) {
    // What OpenSSL refuses although it can be read: a key too short for its security level.
    return { mistakes: [{ key: 'certFile', message: `cannot be used (${codeOf(cause)}): ${config.certFile}` }] };
  }
  return {
    context,
    clientCertificates: config.clientCertificates,
    certificate: {
      names: (own.subjectAltName ?? own.subject).replaceAll('\n', ', ').slice(0, MAX_NAMES),
      expiresAt: own.validToDate.toISOString(),
      sha256: own.fingerprint256.replaceAll(':', '').toLowerCase(),
    },
    warnings: [
      ...checkTimes(chain, `listen.tls.certFile (${config.certFile})`, 'clients refuse it', now),
      ...checkTimes(authorities, `listen.tls.clientCaFile (${config.clientCaFile})`, 'it vouches for no client', now),
    ],
  };
}

function checkTimes(certificates: X509Certificate[], where: string, otherwise: string, now: number): string[] {
  return certificates.flatMap(({ validFromDate, validToDate }, index) => {
    const which = certificates.length === 1 ? 'the certificate' : `certificate ${index + 1} of ${certificates.length}`;
    const [from, to] = [validFromDate, validToDate].map((date) => date.toISOString().slice(0, 16).replace('T', ' '));
    const left = validToDate.getTime() - now;
    if (left <= 0) return [`${which} in ${where} ran out on ${to} UTC, so ${otherwise}: renew it`];
    if (validFromDate.getTime() > now) {
      return [`${which} in ${where} is not valid before ${from} UTC, until then ${otherwise}: check the clock`];
    }
    if (left > WARN_BEFORE_MS) return [];
    const days = Math.floor(left / DAY_MS);
    return [`${which} in ${where} runs out on ${to} UTC, in ${days} day${days === 1 ? '' : 's'}: renew it`];
  });
}
