/**
 * The connections to the upstream: kept, shared, and let go when they have become old or lead elsewhere than its name does.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type AgentConfig, type AgentDeps, hostOf, type PoolOptions, poolOptions } from './agent-pool.ts';
import { createTunnelAgent } from './agent-tunnel.ts';
import type { Names } from './dns.ts';

/** Opens the way to one origin; `destroy` closes its connections. */
export function createAgent(target: URL, config: AgentConfig, deps: AgentDeps): HttpAgent {
  const pool = poolOptions(config, deps);
  if (config.proxy === undefined) return watch(createDirectAgent(target, pool, deps), hostOf(target), deps);
  const proxy = new URL(config.proxy);
  return watch(createTunnelAgent(target, proxy, pool, config, deps), hostOf(proxy), deps);
}

function createDirectAgent({ protocol }: URL, pool: PoolOptions, { tls }: AgentDeps): HttpAgent {
  if (protocol !== 'https:') return new HttpAgent(pool);
  const agent = new HttpsAgent(pool);
  if (!tls) return agent;
  const connect = agent.createConnection.bind(agent);
  // Asked for with each connection: certificates are renewed while the process runs.
  agent.createConnection = (options, done) =>
    connect(Object.assign({}, options, { secureContext: tls.toUpstream }), done);
  return agent;
}

/** Tells `names` of addresses that give no connection, and keeps no connection to one that is not the host's any more. */
function watch(agent: HttpAgent, hostname: string, { names }: AgentDeps): HttpAgent {
  if (!names) return agent;
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, done) => {
    const socket = connect(options, done);
    if (socket && 'connecting' in socket && socket.connecting === true) tellFailures(socket, hostname, names);
    return socket;
  };
  const keep = agent.keepSocketAlive.bind(agent);
  agent.keepSocketAlive = (socket) => {
    const { remoteAddress } = socket as Socket;
    if (remoteAddress !== undefined && !names.isCurrent(hostname, remoteAddress)) return false;
    return (keep as (socket: Duplex) => boolean)(socket);
  };
  return agent;
}

function tellFailures(socket: Duplex, hostname: string, names: Names): void {
  const doubt = (address: string) => names.doubt(hostname, address);
  // With a single address, the only event is the error itself.
  const doubtAll = () => names.doubt(hostname);
  socket.on('connectionAttemptFailed', doubt).on('connectionAttemptTimeout', doubt).once('error', doubtAll);
  socket.once('connect', () => {
    socket.off('connectionAttemptFailed', doubt).off('connectionAttemptTimeout', doubt).off('error', doubtAll);
  });
}
