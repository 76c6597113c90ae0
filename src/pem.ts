/**
 * Files of certificates and keys in PEM form. They are read when the configuration is, and every mistake in them is told
 * with the key that names the file: a connection that fails later would not say which of them is wrong.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { readSmallFile } from './text-file.ts';

/** One mistake: the key of the configuration, within its section, whose file cannot be used, and why. */
export type PemMistake<Key extends string = string> = { key: Key; message: string };

/** Reads the files of one section of the configuration, and gathers what is wrong with them. */
export type PemFiles<Key extends string> = {
  readonly mistakes: PemMistake<Key>[];
  complain(key: Key, message: string): void;
  /** The certificates of a file, in their order; none where no file is named, or with a complaint. */
  readCertificates(key: Key, file: string | undefined): Promise<X509Certificate[]>;
  /** The private key of a file, with the passphrase of the section's `keyPassphrase`. */
  readKey(key: Key, file: string | undefined, passphrase: string | undefined): Promise<KeyObject | undefined>;
};

/** The path of a file, as an operator writes it in the configuration. */
export const filePath = () => {
  const error = 'must be the path of a file';
  return z
    .string({ error })
    .min(1, { error })
    .refine((path) => !path.includes('\0'), { error });
};

/** The keys of the configuration that name a private key: each may be renewed while the gateway runs. */
export const privateKeyKeys = () => ({
  keyFile: filePath().optional().describe('The private key (PEM) of certFile.').meta({ reload: true }),
  keyPassphrase: z
    .string({ error: 'must be a text' })
    .min(1, { error: 'must not be empty' })
    .optional()
    .describe('The passphrase of keyFile, if it has one.')
    .meta({ secret: true, reload: true }),
});

/** The key for the oldest version of TLS that is spoken with somebody. */
export const tlsVersion = (whom: string) =>
  z
    .enum(['TLSv1.2', 'TLSv1.3'], { error: 'must be TLSv1.2 or TLSv1.3' })
    .default('TLSv1.2')
    .describe(`The oldest version of TLS that is spoken with ${whom}.`)
    .meta({ reload: true });

/** More than the public authorities of a whole system take. */
const MAX = { maxBytes: 4 * 1024 * 1024, maxText: '4 MB', onlyRegular: true };

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Every structure in DER form begins with this byte, and no text does. */
const DER = 0x30;

/** Opens the files of a section; its name stands in front of the keys that a message refers to. */
export function openPemFiles<Key extends string>(section: string): PemFiles<Key> {
  const mistakes: PemMistake<Key>[] = [];
  const complain = (key: Key, message: string) => void mistakes.push({ key, message });

  const read = async (key: Key, file: string | undefined): Promise<Buffer | undefined> => {
    if (file === undefined) return undefined;
    const found = await readSmallFile(file, MAX);
    if ('bytes' in found) return found.bytes;
    complain(key, `${found.problem}: ${file}`);
    return undefined;
  };

  return {
    mistakes,
    complain,

    async readCertificates(key, file) {
      const bytes = await read(key, file);
      if (bytes === undefined) return [];
      const blocks = bytes.toString('utf8').match(CERTIFICATE) ?? [];
      if (blocks.length === 0) {
        const hint = bytes[0] === DER ? '; it looks like DER, of which openssl x509 -inform DER makes PEM' : '';
        complain(key, `holds no certificate in PEM form (-----BEGIN CERTIFICATE-----): ${file}${hint}`);
      }
      return blocks.flatMap((block, index) => {
        try {
          return new X509Certificate(block);
        } catch {
          complain(key, `certificate ${index + 1} of ${blocks.length} in it is damaged: ${file}`);
          return [];
        }
      });
    },

    async readKey(key, file, passphrase) {
      const bytes = await read(key, file);
      if (bytes === undefined) return undefined;
      try {
        return createPrivateKey({ key: bytes, ...(passphrase === undefined ? {} : { passphrase }) });
      } catch {
        const isEncrypted = /-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(bytes.toString('latin1'));
        const hint = bytes[0] === DER ? '; it looks like DER, of which openssl pkey -inform DER makes PEM' : '';
        // No colon behind the passphrase's name: the log would take what follows for the passphrase.
        const problem = passphrase === undefined ? 'is not set' : 'does not fit';
        if (isEncrypted) complain(key, `is encrypted, and ${section}.keyPassphrase ${problem}: ${file}`);
        else complain(key, `holds no private key in PEM form that could be read: ${file}${hint}`);
        return undefined;
      }
    },
  };
}

/** The code of an error of the system or of OpenSSL: all that is said of it, since its text may quote the file. */
export const codeOf = (cause: unknown): string =>
  cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
