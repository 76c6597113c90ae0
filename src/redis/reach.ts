import { connect } from 'node:net';
import type { RedisNode } from './url.ts';

/** How long a connection may take before a node counts as out of reach, in ms. */
const REACH_MS = 2000;

/** Why these nodes cannot be reached, like `ECONNREFUSED 10.0.0.1:6379`; undefined when one of them can be. */
export async function whyOutOfReach(nodes: readonly RedisNode[]): Promise<string | undefined> {
  const reasons = await Promise.all(nodes.map((node) => reach(node)));
  return reasons.includes(undefined) ? undefined : reasons.join(', ');
}

/** A node's name, as it stands in a URL. */
export const nameOf = ({ host, port }: RedisNode): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

function reach(node: RedisNode): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ ...node, timeout: REACH_MS });
    const end = (reason: string | undefined) => {
      socket.destroy();
      resolve(reason);
    };
    socket.unref();
    socket.once('connect', () => end(undefined));
    socket.once('timeout', () => end(`no connection to ${nameOf(node)} in ${REACH_MS} ms`));
    socket.on('error', (error: NodeJS.ErrnoException) => end(`${error.code ?? 'no connection'} ${nameOf(node)}`));
  });
}
