/**
 * What no single key can tell: values that clash with each other, and values that do not do what they seem to.
 */
import { redirectMode } from '../upstream/redirects.ts';
import { NOWHERE, type Place, type Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** Two ports that cannot both be listened on. */
export function findClashes(config: Config, places: ReadonlyMap<string, Place>, emulator: boolean): Problem[] {
  const { listen, admin } = config;
  const ports = [
    { path: 'listen.port', ...listen },
    { path: 'admin.port', ...admin },
    ...(emulator
      ? [
          { path: 'emulator.port', host: '127.0.0.1', port: config.emulator.port },
          { path: 'emulator.adminPort', host: '127.0.0.1', port: config.emulator.adminPort },
        ]
      : []),
  ];
  return ports.flatMap(({ path, host, port }, index) => {
    const earlier = ports
      .slice(0, index)
      .find((other) => port !== 0 && other.port === port && overlap(other.host, host));
    if (!earlier) return [];
    // The one that was set is to be changed, and of two the later.
    const [set, other] = places.has(path) || !places.has(earlier.path) ? [path, earlier.path] : [earlier.path, path];
    const place = places.get(set) ?? NOWHERE;
    return [{ place, path: set, message: `is ${port}, the same as ${other}; give each its own` }];
  });
}

/** What the operator should know about a configuration that is valid. */
export function findWarnings(config: Config, emulator: boolean): string[] {
  const warnings: string[] = [];
  const { listen, upstream, spool, limits, redirects, publicUrl } = config;
  if (listen.tls.clientCaFile !== undefined && listen.tls.clientCertificates === 'off') {
    warnings.push(
      'listen.tls.clientCaFile is set, but listen.tls.clientCertificates is off: nobody is asked for a certificate',
    );
  }
  if (listen.tls.certFile !== undefined && publicUrl?.startsWith('http:')) {
    warnings.push("publicUrl begins with http:, but the clients' port speaks TLS: links in answers would not work");
  }
  if (listen.proxyProtocol === 'off' && listen.proxyProtocolFrom.length > 0) {
    warnings.push('listen.proxyProtocolFrom is set, but listen.proxyProtocol is off: no PROXY header is read');
  }
  if (listen.proxyProtocol === 'on' && typeof config.trustedProxies === 'number' && config.trustedProxies > 0) {
    warnings.push(
      'trustedProxies is a number, and listen.proxyProtocol is on: the address in a PROXY header counts as the first of ' +
        'these proxies, so where that is the client itself, its X-Forwarded-For is believed; list addresses instead',
    );
  }
  if (emulator && upstream.url !== undefined) {
    warnings.push('upstream.url is set, but with --emulator everything goes to the embedded emulator, nothing to it');
  }
  if (upstream.allowPlaintext && upstream.url?.startsWith('http:')) {
    warnings.push('upstream.url is plain http: tokens and files can be read on the way to it');
  }
  const mode = redirectMode(redirects);
  if (mode === 'pass') {
    warnings.push('redirects.mode is pass: clients that Easemob redirects go around the gateway');
  }
  if (mode !== 'follow' && redirects.hosts.length > 0) {
    warnings.push(`redirects.hosts is set, but redirects.mode is ${mode}: nothing is followed there`);
  }
  if (
    spool.diskBytes < limits.fileBytes &&
    Math.min(spool.memoryPerUploadBytes, spool.memoryBytes) < limits.fileBytes
  ) {
    warnings.push(
      `spool.diskBytes (${spool.diskBytes}) is less than limits.fileBytes (${limits.fileBytes}): ` +
        'the largest uploads that are allowed will be answered with 503, for want of room',
    );
  }
  if (config.redis.url === undefined && config.passthrough.some((path) => path.includes('sdk/chatfiles/part-upload'))) {
    warnings.push(
      'passthrough opens uploads in parts, but redis.url is not set: each replica sums the parts that it gets itself, ' +
        'so that behind a load balancer a file may be as many times too large as there are replicas',
    );
  }
  return warnings;
}

const WILDCARDS = new Set(['0.0.0.0', '::']);

const overlap = (a: string, b: string): boolean => a === b || WILDCARDS.has(a) || WILDCARDS.has(b);
