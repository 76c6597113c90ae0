/** Tells the operator of connections that did not come through the door: the first of a kind, then their number. */
import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';
import { sparingly } from './sparingly.ts';
import type { DoorTrouble, TellTrouble } from './visit.ts';

type Told = Parameters<Notice>[0];

/** What is told: what a load balancer does wrong is a warning, what any stranger may do is not. */
const WORDS: Record<DoorTrouble, [level: Told, message: string]> = {
  'proxy-header-missing': [
    'warn',
    'a connection without a PROXY header was closed: its address is in listen.proxyProtocolFrom; let that load ' +
      'balancer speak the PROXY protocol, or take it from the list',
  ],
  'proxy-header-broken': ['warn', 'a connection was closed for its broken PROXY header'],
  'proxy-header-late': [
    'warn',
    'a connection was closed because no PROXY header came within limits.headTimeoutMs: its address is in ' +
      'listen.proxyProtocolFrom',
  ],
  'handshake-late': [
    'info',
    'a connection was closed because its TLS handshake was not done within limits.headTimeoutMs',
  ],
  'handshake-failed': ['info', 'a TLS handshake with a client failed'],
  'client-certificate-missing': [
    'info',
    'a client without a certificate was refused (listen.tls.clientCertificates is require)',
  ],
  'client-certificate-refused': [
    'info',
    'a client was refused whose certificate is not vouched for by listen.tls.clientCaFile, or is out of its time',
  ],
};

/** Makes the listener for such trouble. */
export function createDoorWatch(notice: Notice, clock: Clock): TellTrouble {
  const tell = sparingly(clock);
  return (trouble, peer, detail) =>
    tell(trouble, (more) => {
      const [level, message] = WORDS[trouble];
      notice(level, message, { trouble, peer, detail, ...(more > 0 ? { alsoSinceTheLast: more } : {}) });
    });
}
