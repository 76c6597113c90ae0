import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { createServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { onTestFinished } from 'vitest';

/** A load balancer that ends TLS in front of a port of this machine. */
export type TlsFront = { port: number; connections: number };

/** Starts it for one test. */
export async function startTlsFront(target: number, options: TlsOptions): Promise<TlsFront> {
  const sockets = new Set<TLSSocket>();
  const front: TlsFront = { port: 0, connections: 0 };
  const server = createServer(options, (near) => {
    front.connections += 1;
    const far = connect(target, '127.0.0.1');
    sockets.add(near);
    near
      .on('error', () => {})
      .on('close', () => {
        sockets.delete(near);
        far.destroy();
      });
    far.on('error', () => {}).on('close', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  });
  front.port = (server.address() as AddressInfo).port;
  return front;
}
