import { isIPv6, type Socket } from 'node:net';
import type { ProxySource } from './proxy-header.ts';

/** A connection in the door: how far it has come, and whom its load balancer has named. */
export type Visit = {
  readonly socket: Socket;
  /** The address at the other end, read while there was one. */
  readonly peer: string | undefined;
  stage: 'header' | 'first-byte' | 'handshake';
  source?: ProxySource;
};

/** Why a connection did not come through the door. */
export type DoorTrouble =
  | 'proxy-header-missing'
  | 'proxy-header-broken'
  | 'proxy-header-late'
  | 'handshake-late'
  | 'handshake-failed'
  | 'client-certificate-missing'
  | 'client-certificate-refused';

/** Hears of a connection that did not come through: why, whose it is, and more that is known of it. */
export type TellTrouble = (trouble: DoorTrouble, peer: string | undefined, detail?: string) => void;

/** The address that a connection counts as: its peer's, or the one that its load balancer has named. */
export const peerOf = ({ peer, source }: Visit): string | undefined => source?.address ?? peer;

/** Makes the source that a load balancer has named the peer of a connection: also for Express, which asks the socket. */
export function assumeSource(socket: Socket, source: ProxySource | undefined): void {
  if (!source) return;
  const { address, port } = source;
  Object.defineProperties(socket, {
    remoteAddress: { value: address },
    remotePort: { value: port },
    remoteFamily: { value: isIPv6(address) ? 'IPv6' : 'IPv4' },
  });
}
