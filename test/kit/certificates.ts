import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A private key and its certificate, as text and as files. */
export type Identity = { key: string; cert: string; keyFile: string; certFile: string };

/** What may be said of a certificate; `expired`: it was good until yesterday. */
export type IdentityOptions = { names?: string[]; expired?: boolean; passphrase?: string };

/** A certificate authority that exists for one test file; disposing removes its folder. */
export type Authority = AsyncDisposable & {
  folder: string;
  /** The certificate that vouches for all others. */
  cert: string;
  certFile: string;
  issue(name: string, options?: IdentityOptions): Promise<Identity>;
};

/** Makes a certificate authority with openssl. */
export async function createAuthority(name = 'Corporate CA'): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-ca-'));
  const at = (file: string) => join(folder, file);
  const openssl = (...args: string[][]) => run('openssl', args.flat(), { cwd: folder });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const constraints = ['-addext', 'basicConstraints=critical,CA:true', '-addext', 'keyUsage=critical,keyCertSign'];
  await openssl(
    ['req', '-x509', ...newKey, '-nodes', '-days', '30', '-subj', `/CN=${name}`, ...constraints],
    ['-keyout', 'ca.key', '-out', 'ca.pem'],
  );
  // The command `ca` alone can make a certificate whose time is over; it wants to keep books.
  await Promise.all([
    writeFile(
      at('ca.cnf'),
      [
        '[ca]\ndefault_ca=us\n[us]\nnew_certs_dir=.\ndatabase=index.txt\nserial=serial\ndefault_md=sha256',
        'policy=any\nunique_subject=no\ncopy_extensions=copy\n[any]\ncommonName=supplied\n',
      ].join('\n'),
    ),
    writeFile(at('index.txt'), ''),
    writeFile(at('serial'), '1000\n'),
  ]);
  let count = 0;
  let books: Promise<unknown> = Promise.resolve();
  const issue = async (subject: string, { names = [subject], expired = false, passphrase }: IdentityOptions = {}) => {
    count += 1;
    const [key, request, cert] = [`${count}.key`, `${count}.csr`, `${count}.pem`];
    const alternatives = names.map((each) => `${/^[\d.]+$/.test(each) ? 'IP' : 'DNS'}:${each}`).join(',');
    await openssl(
      ['req', ...newKey, '-subj', `/CN=${subject}`, '-addext', `subjectAltName=${alternatives}`],
      passphrase === undefined ? ['-nodes'] : ['-passout', `pass:${passphrase}`],
      ['-keyout', key, '-out', request],
    );
    const day = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().replaceAll(/\.\d+|[-:T]/g, '');
    const times = ['-startdate', day(-10), '-enddate', day(expired ? -1 : 10)];
    // Its books take one entry at a time.
    books = books.then(() =>
      openssl(
        ['ca', '-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-batch', '-notext', ...times],
        ['-in', request, '-out', cert],
      ),
    );
    await books;
    const [keyText, certText] = await Promise.all([readFile(at(key), 'utf8'), readFile(at(cert), 'utf8')]);
    return { key: keyText, cert: certText, keyFile: at(key), certFile: at(cert) };
  };
  return {
    folder,
    cert: await readFile(at('ca.pem'), 'utf8'),
    certFile: at('ca.pem'),
    issue,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
