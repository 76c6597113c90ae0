import type { Agent } from 'node:http';
import { createAgent } from './agent.ts';
import type { AgentConfig, AgentDeps } from './agent-pool.ts';
import type { FollowWorld } from './follow.ts';

/** How storages are reached that the upstream redirects to; disposing closes what is open to them. */
export type WayToStorages = Disposable & { world: FollowWorld };

/** Opens the way that the upstream has: by a proxy if one is for this storage, by the same authorities, but never with our certificate. */
export function openWayToStorages(
  config: AgentConfig,
  deps: AgentDeps,
  proxyFor: (url: string) => string | undefined = () => config.proxy,
): WayToStorages {
  const { tls: ours } = deps;
  const tls = ours && {
    get toProxy() {
      return ours.toProxy;
    },
    get toUpstream() {
      return ours.toProxy;
    },
  };
  const agents = new Map<string, Agent>();
  const agentFor = ({ origin }: URL): Agent | undefined => {
    const proxy = proxyFor(origin);
    if (proxy === undefined) return undefined;
    const agent =
      agents.get(origin) ?? createAgent(new URL(origin), { ...config, proxy, isKept: false }, { ...deps, tls });
    agents.set(origin, agent);
    return agent;
  };
  return {
    world: {
      agentFor,
      get secureContext() {
        return tls?.toUpstream;
      },
    },
    [Symbol.dispose]() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}
