import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

/** A server that is listening, and stops at once when it is disposed of. */
export type Listening = AsyncDisposable & { url: string; server: Server };

/** Where to listen, and what answers. */
export type ListenOptions = {
  host: string;
  port: number;
  keepAliveMs: number;
  onRequest: (req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean) => Promise<void>;
};

/** Starts a server; disposing of it waits for the requests that were under way to notice. */
export async function listen({ host, port, keepAliveMs, onRequest }: ListenOptions): Promise<Listening> {
  const underway = new Set<Promise<void>>();
  const take = (req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean): void => {
    const done = onRequest(req, res, awaitsContinue).finally(() => underway.delete(done));
    underway.add(done);
  };

  const server = createServer({ keepAliveTimeout: keepAliveMs, noDelay: true });
  // Node adds a second to be kind to clients; the cloud is not known to.
  server.keepAliveTimeoutBuffer = 0;
  server.on('request', (req, res) => take(req, res, false));
  // The handler says when the body may come, so that a refused upload is not sent at all.
  server.on('checkContinue', (req, res) => take(req, res, true));
  server.on('checkExpectation', (_req, res) => void res.writeHead(417, { connection: 'close' }).end());
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
    if (socket.writable && error.code !== 'ECONNRESET') {
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    } else socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });

  return {
    server,
    url: urlOf(server),
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await Promise.all(underway);
    },
  };
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on a port');
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
}
