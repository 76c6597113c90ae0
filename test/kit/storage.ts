import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The names that the storage's certificate is for. */
export const STORAGE = 'storage.example.test';
export const OTHER_STORAGE = 'other.storage.example.test';

/** An object storage behind TLS: what came in, and how many connections were made. */
export type Storage = AsyncDisposable & {
  port: number;
  /** The authority that signed its certificate. */
  ca: string;
  requests: { method: string; path: string; headers: IncomingHttpHeaders }[];
  readonly connections: number;
};

let made: { key: string; cert: string } | undefined;

/** A certificate that is its own authority; made once. */
function certificate(): { key: string; cert: string } {
  if (made) return made;
  const folder = mkdtempSync(join(tmpdir(), 'chatfiles-storage-'));
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const names = `subjectAltName=DNS:${STORAGE},DNS:*.${STORAGE}`;
    const algorithm = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const request = ['req', '-x509', ...algorithm, '-days', '2', '-subj', '/CN=storage', '-addext', names];
    execFileSync('openssl', [...request, '-keyout', key, '-out', cert], { stdio: 'pipe' });
    made = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
    return made;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Starts a storage on an address of this machine. */
export async function startStorage(
  answer: (req: IncomingMessage, res: ServerResponse) => void,
  host = '127.0.0.1',
  port = 0,
): Promise<Storage> {
  const { key, cert } = certificate();
  const requests: Storage['requests'] = [];
  let connections = 0;
  const server = createServer({ key, cert }, (req, res) => {
    requests.push({ method: req.method ?? '', path: req.url ?? '', headers: req.headers });
    answer(req, res);
  });
  server.on('connection', () => (connections += 1)).on('tlsClientError', () => {});
  server.listen(port, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    ca: cert,
    requests,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
