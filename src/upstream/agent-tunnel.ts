/**
 * Connections through a proxy, by CONNECT.
 *
 * https-proxy-agent keeps the pool and speaks with the proxy. It has no deadline of its own, gives a socket away before
 * its TLS handshake, and hands a proxy's refusal on as if it were the upstream's answer: a 503 of the proxy would be
 * taken for Easemob's. So each tunnel is opened under a deadline, by an agent of its own that can be aborted, and what
 * comes out of here is a connection on which the next byte is the request's, or an error that says it was the proxy.
 */
import { once } from 'node:events';
import type { Agent as HttpAgent, ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { type AgentConfig, type AgentDeps, hostOf, type PoolOptions } from './agent-pool.ts';
import { describeError } from './describe-error.ts';

/** Why there is no tunnel. `isLasting`: the proxy would say the same to the next attempt. */
export class TunnelError extends Error {
  readonly code: string;
  readonly isLasting: boolean;

  constructor(message: string, code: string, { cause, isLasting = false }: { cause?: unknown; isLasting?: boolean }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'TunnelError';
    this.code = code;
    this.isLasting = isLasting;
  }
}

/** A little less than an attempt has for connecting, so that the attempt hears from the tunnel what it was. */
const SHARE_OF_TIMEOUT = 0.9;

/** Opens the way to an origin through a proxy, whose URL may hold a user and a password. */
export function createTunnelAgent(
  target: URL,
  proxy: URL,
  pool: PoolOptions,
  { connectTimeoutMs }: Pick<AgentConfig, 'connectTimeoutMs'>,
  { clock, tls }: AgentDeps,
): HttpAgent {
  const { address, headers } = readProxy(proxy);
  const isSecure = target.protocol === 'https:';
  const host = hostOf(target);
  const port = Number(target.port) || (isSecure ? 443 : 80);
  const withinMs = Math.ceil(connectTimeoutMs * SHARE_OF_TIMEOUT);
  let session: Buffer | undefined;

  const openTunnel = async (request: ClientRequest, signal: AbortSignal): Promise<Socket> => {
    const digger = new HttpsProxyAgent(address, {
      ...pool,
      ...(tls ? { secureContext: tls.toProxy } : {}),
      headers,
      signal,
    });
    let status = 0;
    request.once('proxyConnect', ({ statusCode }: { statusCode: number }) => {
      status = statusCode;
    });
    const tunnel = await digger
      .connect(request, { host, port, secureEndpoint: false })
      .catch((cause: unknown) => Promise.reject(unreachable(cause)));
    if (status !== 200) throw refused(status);
    return tunnel;
  };

  const secure = async (tunnel: Socket, signal: AbortSignal): Promise<Socket> => {
    const socket = connectTls({
      socket: tunnel,
      // The name that the certificate must be for; an address is none that could be asked for.
      host,
      servername: isAddress(target) ? '' : host,
      ALPNProtocols: ['http/1.1'],
      ...(tls ? { secureContext: tls.toUpstream } : {}),
      ...(session ? { session } : {}),
    });
    socket.on('session', (ticket) => {
      session = ticket;
    });
    try {
      await once(socket, 'secureConnect', { signal });
      return socket;
    } catch (error) {
      session = undefined;
      socket.on('error', () => {}).destroy();
      tunnel.destroy();
      throw error;
    }
  };

  const agent = new HttpsProxyAgent(address, pool);
  agent.protocol = target.protocol;
  agent.isSecureEndpoint = () => isSecure;
  agent.connect = async (request) => {
    const deadline = new AbortController();
    const cancel = clock.after(withinMs, () => deadline.abort());
    try {
      const tunnel = await openTunnel(request, deadline.signal);
      return isSecure ? await secure(tunnel, deadline.signal) : tunnel;
    } catch (error) {
      if (!deadline.signal.aborted) throw error;
      throw new TunnelError(`no tunnel through the proxy within ${withinMs} ms`, 'ETIMEDOUT', { cause: error });
    } finally {
      cancel();
    }
  };
  return agent;
}

/** Divides a proxy's URL: what stands in the address, the package shows to whoever debugs it. */
function readProxy(url: URL): { address: URL; headers: Record<string, string> } {
  const address = new URL(url);
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  address.username = '';
  address.password = '';
  const headers: Record<string, string> = { 'User-Agent': 'chatfiles-gateway' };
  if (user !== ':') headers['Proxy-Authorization'] = `Basic ${Buffer.from(user).toString('base64')}`;
  return { address, headers };
}

const isAddress = (url: URL): boolean => url.hostname.startsWith('[') || /^\d+(?:\.\d+){3}$/.test(url.hostname);

function refused(status: number): TunnelError {
  if (status === 407) {
    return new TunnelError('the proxy wants other credentials (407)', 'ERR_PROXY_AUTH', { isLasting: true });
  }
  // What it forbids, it will forbid again; that it cannot at the moment, may change.
  const isLasting = status >= 400 && status < 500 && status !== 408 && status !== 429;
  return new TunnelError(`the proxy refused the tunnel (${status})`, 'ERR_PROXY_REFUSED', { isLasting });
}

function unreachable(cause: unknown): TunnelError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'ERR_PROXY_BROKEN';
  return new TunnelError(`the proxy cannot be reached: ${describeError(cause)}`, code, { cause });
}
