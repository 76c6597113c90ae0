/**
 * TLS in the door: knows of a socket that comes out of a handshake which connection went in, and says why others did not.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Server } from 'node:http';
import { Server as TlsServer, type TLSSocket } from 'node:tls';
import { rememberClient } from './client-certificate.ts';
import { assumeSource, peerOf, type TellTrouble, type Visit } from './visit.ts';

/** Begins a handshake by what `begin` does with the connection; `done` is called once it has succeeded. */
export type BeginHandshake = (visit: Visit, begin: () => void, done: () => void) => void;

/** Watches the handshakes of a server. */
export function watchHandshakes(server: Server, trouble: TellTrouble): BeginHandshake {
  // Node tells of the TLS socket alone, and that has no address once its peer has gone. But whatever becomes of a
  // handshake happens in the context that it was begun in.
  const underWay = new AsyncLocalStorage<{ visit: Visit; done: () => void }>();

  const onSecure = (socket: TLSSocket) => {
    const found = underWay.getStore();
    if (!found) {
      // Nobody knows whose it is.
      socket.destroy();
      return;
    }
    found.done();
    assumeSource(socket, found.visit.source);
    if (socket.authorized) rememberClient(socket);
    else if (socket.getPeerX509Certificate()) {
      // A client may do without a certificate, but one that it shows must be good.
      trouble('client-certificate-refused', peerOf(found.visit), refusalOf(socket));
      socket.destroy();
    }
  };
  const onFailure = ({ code }: NodeJS.ErrnoException, socket: TLSSocket) => {
    const visit = underWay.getStore()?.visit;
    const peer = visit && peerOf(visit);
    const refusal = refusalOf(socket);
    if (refusal !== undefined) trouble('client-certificate-refused', peer, refusal);
    else if (code === NO_CERTIFICATE) trouble('client-certificate-missing', peer);
    // Whoever breaks off without a word is no trouble: scanners do, and browsers that need the connection no more.
    else if (code !== 'ECONNRESET') trouble('handshake-failed', peer, code);
  };
  if (server instanceof TlsServer) server.prependListener('secureConnection', onSecure).on('tlsClientError', onFailure);

  return (visit, begin, done) => {
    const handshake = { visit, done };
    visit.stage = 'handshake';
    // What is told of a refused certificate is told when the connection below has closed, in that one's context.
    visit.socket.once('close', () => underWay.enterWith(handshake));
    underWay.run(handshake, begin);
  };
}

const NO_CERTIFICATE = 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';

/** Why a client's certificate was not accepted. Node gives a code here, and not the error that its type promises. */
function refusalOf({ authorizationError }: TLSSocket): string | undefined {
  const refusal: unknown = authorizationError;
  if (refusal instanceof Error) return refusal.message;
  return typeof refusal === 'string' ? refusal : undefined;
}
