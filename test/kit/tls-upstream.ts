import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { onTestFinished } from 'vitest';

/** An upstream that speaks TLS and answers every request with `ok`. */
export type TlsUpstream = {
  port: number;
  /** Requests that were read, as `METHOD path`, and the bodies' bytes. */
  requests: string[];
  /** Connections made so far, and those of them whose TLS session was resumed. */
  connections: number;
  resumed: number;
  /** Bytes that came out of TLS on any connection. */
  bytesRead: number;
  /** What the clients' certificates are for. */
  clients: (string | undefined)[];
};

/** Starts such an upstream for one test. */
export async function startTlsUpstream(options: TlsOptions, host = '127.0.0.1', port = 0): Promise<TlsUpstream> {
  const sockets = new Set<Duplex>();
  const upstream: TlsUpstream = { port: 0, requests: [], connections: 0, resumed: 0, bytesRead: 0, clients: [] };
  const server = createServer({ ...options, keepAliveTimeout: 60_000 }, (request, answer) => {
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    request.on('end', () => {
      upstream.requests.push(`${request.method} ${request.url} ${bytes}`);
      answer.end('ok');
    });
  });
  server.on('connection', (socket) => {
    upstream.connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.on('secureConnection', (socket) => {
    if (socket.isSessionReused()) upstream.resumed += 1;
    upstream.clients.push(socket.getPeerX509Certificate()?.subject);
    socket.on('data', (bytes) => {
      upstream.bytesRead += bytes.length;
    });
  });
  server.on('tlsClientError', () => {});
  server.listen(port, host);
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  });
  upstream.port = (server.address() as AddressInfo).port;
  return upstream;
}
