import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Sdk } from './sdks.ts';

const PAGE = fileURLToPath(new URL('../page/', import.meta.url));

/** An app's own web site, with the page that holds the SDK. */
export type PageServer = AsyncDisposable & { origin: string };

/** Serves the page and everything on it, with this SDK. */
export async function startPageServer({ bundle }: Sdk): Promise<PageServer> {
  const files = new Map([
    ['/', { path: `${PAGE}index.html`, type: 'text/html; charset=utf-8' }],
    ['/group.html', { path: `${PAGE}group.html`, type: 'text/html; charset=utf-8' }],
    ['/driver.js', { path: `${PAGE}driver.js`, type: 'text/javascript; charset=utf-8' }],
    ['/sdk.js', { path: bundle, type: 'text/javascript; charset=utf-8' }],
  ]);
  const server = createServer((req, res) => {
    const file = files.get(req.url ?? '');
    if (file === undefined) {
      res.writeHead(404).end();
      return;
    }
    readFile(file.path).then(
      (bytes) => res.setHeader('content-type', file.type).end(bytes),
      () => res.writeHead(500).end(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
