import { z } from 'zod';
import { filePath, privateKeyKeys, tlsVersion } from '../pem.ts';
import { port, whole } from '../quantity.ts';
import { ranges } from './ranges.ts';

/** An address or a host name to listen on. */
export const listenAddress = () => {
  const error = 'must be the address or the host name to listen on, like 127.0.0.1, 0.0.0.0 or ::';
  return z.string({ error }).regex(/^(?=.{1,253}$)[A-Za-z0-9:][A-Za-z0-9.:-]*$/, { error });
};

const CLIENT_CERTIFICATES = ['off', 'request', 'require'] as const;

/** Keys of TLS that say nothing without another one. */
const TOGETHER = [
  ['certFile', 'keyFile', ': a certificate is of no use without its key'],
  ['keyFile', 'certFile', ': a key is of no use without its certificate'],
  ['keyPassphrase', 'keyFile', ''],
  ['clientCaFile', 'certFile', ': clients show certificates within TLS only'],
] as const;

/** TLS with the clients; without a certificate, plain HTTP is spoken. */
const listenTlsSchema = z
  .strictObject({
    certFile: filePath()
      .optional()
      .describe("The certificate (PEM, its chain behind it) for clients: with it, the clients' port speaks TLS.")
      .meta({ reload: true }),
    ...privateKeyKeys(),
    minVersion: tlsVersion('clients'),
    clientCertificates: z
      .enum(CLIENT_CERTIFICATES, { error: `must be one of ${CLIENT_CERTIFICATES.join(', ')}` })
      .default('off')
      .describe('Whether clients are asked for a certificate: off; request, which they may do without; require.'),
    clientCaFile: filePath()
      .optional()
      .describe("The authorities (PEM) that vouch for clients' certificates; the public ones do not.")
      .meta({ reload: true }),
    hstsSeconds: whole(0, 63_072_000)
      .default(31_536_000)
      .describe(
        'How long browsers are told to come by https only (Strict-Transport-Security); 0: they are told nothing.',
      )
      .meta({ reload: true }),
  })
  .superRefine((tls, context) => {
    for (const [key, other, why] of TOGETHER) {
      if (tls[key] === undefined || tls[other] !== undefined) continue;
      context.addIssue({ code: 'custom', path: [key], message: `needs listen.tls.${other} beside it${why}` });
    }
    const { clientCertificates, clientCaFile, certFile } = tls;
    if (clientCertificates === 'off' || (clientCaFile !== undefined && certFile !== undefined)) return;
    const missing = certFile === undefined ? 'certFile' : 'clientCaFile';
    const message = `is ${clientCertificates}, which needs listen.tls.${missing} beside it`;
    context.addIssue({ code: 'custom', path: ['clientCertificates'], message });
  });

/** Where the gateway takes the clients' requests. */
export const listenSchema = z
  .strictObject({
    host: listenAddress().default('127.0.0.1').describe('The address to listen on for clients; 0.0.0.0 or :: for all.'),
    port: port().default(8080).describe('The port to listen on for clients; 0 lets the system choose one.'),
    tls: listenTlsSchema.prefault({}),
    proxyProtocol: z
      .enum(['off', 'on'], { error: 'must be off or on' })
      .default('off')
      .describe(
        'Whether the load balancers in proxyProtocolFrom begin each connection with a PROXY header (v1 or v2).',
      ),
    proxyProtocolFrom: ranges()
      .default(() => [])
      .describe(
        'The load balancers that speak the PROXY protocol: addresses or CIDR ranges. From others it is refused.',
      )
      .meta({ reload: true }),
  })
  .superRefine(({ proxyProtocol, proxyProtocolFrom }, context) => {
    if (proxyProtocol === 'off' || proxyProtocolFrom.length > 0) return;
    const message = 'is on, but listen.proxyProtocolFrom lists nobody who may speak it; list your load balancers there';
    context.addIssue({ code: 'custom', path: ['proxyProtocol'], message });
  });

/** The clients' port: its address, its TLS, and who may speak for others there. */
export type ListenConfig = z.output<typeof listenSchema>;

/** How long browsers are told to come by https only; 0 where they are told nothing, since TLS does not end here. */
export const hstsSecondsOf = ({ tls }: ListenConfig): number => (tls.certFile === undefined ? 0 : tls.hstsSeconds);
