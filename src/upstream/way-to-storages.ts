import type { Agent } from 'node:http';
import { createAgent } from './agent.ts';
import type { AgentConfig, AgentDeps } from './agent-pool.ts';
import type { FollowWorld } from './follow.ts';

/** How storages are reached that the upstream redirects to; disposing closes what is kept open to them. */
export type WayToStorages = Disposable & { world: FollowWorld };

/** Opens the same way out that the upstream has: by the same proxy and authorities, but never with our certificate. */
export function openWayToStorages(config: AgentConfig, deps: AgentDeps): WayToStorages {
  const { tls: ours } = deps;
  const tls = ours && {
    get toProxy() {
      return ours.toProxy;
    },
    get toUpstream() {
      return ours.toProxy;
    },
  };
  if (config.proxy === undefined) {
    const world = {
      get secureContext() {
        return tls?.toUpstream;
      },
    };
    return { world, [Symbol.dispose]() {} };
  }
  const agents = new Map<string, Agent>();
  const agentFor = ({ origin }: URL): Agent => {
    const agent = agents.get(origin) ?? createAgent(new URL(origin), config, { ...deps, tls });
    agents.set(origin, agent);
    return agent;
  };
  return {
    world: { agentFor },
    [Symbol.dispose]() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}
