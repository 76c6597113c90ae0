import type { Clock } from '../clock.ts';
import type { Names } from './dns.ts';
import type { UpstreamTls } from './tls.ts';

/** How many connections there may be and how long an idle one is kept; `proxy` is the URL of one to go through. */
export type AgentConfig = {
  maxSockets: number;
  keepAliveMs: number;
  connectTimeoutMs: number;
  proxy?: string | undefined;
  /** Whether connections are used again; a stale one needs a second try. */
  isKept?: boolean;
};

/** What connections are made with; without `names` and `tls` as Node has them. */
export type AgentDeps = { clock: Clock; names?: Names | undefined; tls?: UpstreamTls | undefined };

/** What all agents are made with. */
export type PoolOptions = ReturnType<typeof poolOptions>;

/**
 * Connections are kept and shared, uploads too: a handshake within a slot would be jitter, and what is sent evenly
 * would not arrive so. Idle ones must go before the upstream closes them, or the next request meets a reset.
 */
export const poolOptions = (
  { maxSockets, keepAliveMs, connectTimeoutMs, isKept = true }: AgentConfig,
  { names }: AgentDeps,
) => ({
  keepAlive: isKept,
  maxSockets,
  maxFreeSockets: maxSockets,
  timeout: keepAliveMs,
  scheduling: 'lifo' as const,
  // Node gives each address but the last a quarter of a second: too little where one lost packet costs a whole one.
  autoSelectFamilyAttemptTimeout: Math.max(250, Math.floor(connectTimeoutMs / 4)),
  ...(names ? { lookup: names.lookup } : {}),
});

/** The host of a URL as sockets know it. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '');
