/**
 * TLS in the door: finds the socket that comes out of a handshake to the one that went in, and says why others did not.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer, type TLSSocket } from 'node:tls';
import { rememberClient } from './client-certificate.ts';
import { assumeSource, peerOf, type TellTrouble, type Visit } from './visit.ts';

/** Begins to watch a handshake; `done` is called once it has succeeded. */
export type BeginHandshake = (visit: Visit, done: () => void) => void;

/** Watches the handshakes of a server. */
export function watchHandshakes(server: Server, trouble: TellTrouble): BeginHandshake {
  // Node tells of the TLS socket alone, not of the one below; but both have the same two ends.
  const underWay = new Map<string, { visit: Visit; done: () => void }>();

  const onSecure = (socket: TLSSocket) => {
    const ends = endsOf(socket);
    const found = underWay.get(ends);
    underWay.delete(ends);
    if (!found) {
      // Its peer has gone in this moment, and has no address any more.
      socket.destroy();
      return;
    }
    const { visit, done } = found;
    const peer = peerOf(visit);
    done();
    assumeSource(socket, visit.source);
    if (socket.authorized) rememberClient(socket);
    else if (socket.getPeerX509Certificate()) {
      // A client may do without a certificate, but one that it shows must be good.
      trouble('client-certificate-refused', peer, refusalOf(socket));
      socket.destroy();
    }
  };
  const onFailure = ({ code }: NodeJS.ErrnoException, socket: TLSSocket) => {
    const found = underWay.get(endsOf(socket));
    const peer = found && peerOf(found.visit);
    const refusal = refusalOf(socket);
    if (refusal !== undefined) trouble('client-certificate-refused', peer, refusal);
    else if (code === NO_CERTIFICATE) trouble('client-certificate-missing', peer);
    // Whoever breaks off without a word is no trouble: scanners do, and browsers that need the connection no more.
    else if (code !== 'ECONNRESET') trouble('handshake-failed', peer, code);
  };
  if (server instanceof TlsServer) server.prependListener('secureConnection', onSecure).on('tlsClientError', onFailure);

  return (visit, done) => {
    const ends = endsOf(visit.socket);
    visit.stage = 'handshake';
    underWay.set(ends, { visit, done });
    visit.socket.once('close', () => underWay.delete(ends));
  };
}

const NO_CERTIFICATE = 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';

const endsOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket): string =>
  [remoteAddress, remotePort, localAddress, localPort].join(' ');

/** Why a client's certificate was not accepted. Node gives a code here, and not the error that its type promises. */
function refusalOf({ authorizationError }: TLSSocket): string | undefined {
  const refusal: unknown = authorizationError;
  if (refusal instanceof Error) return refusal.message;
  return typeof refusal === 'string' ? refusal : undefined;
}
