/** The server of the clients' port, in plain HTTP or TLS, with the door before it. */
import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Server as TlsServer } from 'node:tls';
import { type DoorDeps, installDoor } from './door.ts';
import type { ServerTls } from './tls.ts';

/** How connections come in: with which certificate, and from which peers with a PROXY header in front. */
export type Entrance = Pick<DoorDeps, 'clock' | 'announces' | 'trouble'> & { tls: ServerTls | undefined };

/** Makes the server; without an entrance, connections come in as they are. */
export function createListener(
  options: ServerOptions,
  entrance: Entrance | undefined,
  deps: Pick<DoorDeps, 'deadlineMs' | 'refusePlain'>,
): Server {
  if (!entrance) return createServer(options);
  const { tls } = entrance;
  const server: Server = tls ? createTlsServer({ ...options, ...tlsOptions(tls) }) : createServer(options);
  // Node would hand failed handshakes to those who answer broken requests; on these connections nothing can be said.
  server.removeAllListeners('tlsClientError');
  installDoor(server, { ...entrance, ...deps, isTls: tls !== undefined });
  return server;
}

/** Shows another certificate from the next connection on; those that are open keep theirs. */
export function renewTls(server: Server, { context }: ServerTls): void {
  if (server instanceof TlsServer) server.setSecureContext(context);
}

const tlsOptions = ({ context, clientCertificates }: ServerTls) => ({
  ...context,
  // HTTP/2 is the load balancer's, and not offered here.
  ALPNProtocols: ['http/1.1'],
  requestCert: clientCertificates !== 'off',
  rejectUnauthorized: clientCertificates === 'require',
});
