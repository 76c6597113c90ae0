/** Who a client is by its certificate, as logs and audits may show it. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { scrubText } from '../scrub.ts';

const MAX_NAME = 64;

const known = new WeakMap<Socket, string>();

/** Remembers whose certificate a connection was opened with, once its authority has vouched for it. */
export function rememberClient(socket: TLSSocket): void {
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  if (!certificate) return;
  const { subject, subjectAltName, fingerprint256 } = certificate;
  known.set(socket, describeCertificate(subject, subjectAltName, fingerprint256));
}

/** The client of a connection by its certificate, if it has shown one. */
export const clientCertOf = (socket: Socket): string | undefined => known.get(socket);

/**
 * A certificate in a few words: its common name, or else the first of its other names, and the start of its SHA-256
 * digest, since two authorities may give one name to two clients. What an authority may put into a name is not for a log
 * as it is.
 */
export function describeCertificate(
  subject: string | undefined,
  alternatives: string | undefined,
  fingerprint: string,
): string {
  const common = /^CN=(.+)$/m.exec(subject ?? '')?.[1];
  const first = /^(?:DNS|IP Address|email|URI):([^,"]+)/.exec(alternatives ?? '')?.[1];
  const name = (common ?? first ?? 'unnamed').replaceAll(/[^\w.@:/*+ -]/g, '?').slice(0, MAX_NAME);
  return `${scrubText(name)} sha256:${fingerprint.replaceAll(':', '').toLowerCase().slice(0, 16)}`;
}
