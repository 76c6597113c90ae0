/** How clients come in: the certificate and the load balancers of the configuration, and what takes others into use. */
import type { Server } from 'node:http';
import type { Clock } from './clock.ts';
import { type Config, ConfigError } from './config.ts';
import { NOWHERE } from './config/problems.ts';
import type { Notice } from './notice.ts';
import { createDoorWatch } from './server/door-watch.ts';
import { type Entrance, renewTls } from './server/listener.ts';
import { createRanges } from './server/ranges.ts';
import { openServerTls, type ServerTls } from './server/tls.ts';

/** An entrance that can be renewed. */
export type RenewableEntrance = Entrance & {
  /**
   * Reads the files of another configuration; what it gives takes them into use at a server, connections that are open
   * stay. Throws a ConfigError where one cannot be used.
   */
  renew(next: Config): Promise<(server: Server) => void>;
};

/** Reads what the entrance is made of; throws a ConfigError where a file cannot be used. */
export async function openEntrance(
  { listen }: Config,
  { clock, notice }: { clock: Clock; notice: Notice },
): Promise<RenewableEntrance> {
  const isAnnouncing = listen.proxyProtocol === 'on';
  let balancers = createRanges(listen.proxyProtocolFrom);
  const tls = await readTls(listen.tls, clock);
  let ca = tls?.context.ca;
  let shown = tls?.certificate.sha256;
  for (const warning of tls?.warnings ?? []) notice('warn', warning);

  return {
    clock,
    announces: (peer) => isAnnouncing && balancers(peer),
    tls,
    trouble: createDoorWatch(notice, clock),
    async renew({ listen: next }) {
      const renewed = await readTls(next.tls, clock);
      if ((renewed === undefined) !== (tls === undefined)) {
        throw new ConfigError([{ place: NOWHERE, path: 'listen.tls.certFile', message: NOT_AT_RUN_TIME }]);
      }
      return (server) => {
        // Whether there are such headers is fixed at the start: without a list, each of them would be refused.
        if (next.proxyProtocolFrom.length > 0) balancers = createRanges(next.proxyProtocolFrom);
        if (!renewed) return;
        // Whether clients are asked is fixed too: without authorities of its own, Node would take any public one's word.
        ca = renewed.context.ca ?? ca;
        renewTls(server, { ...renewed, context: { ...renewed.context, ca } });
        for (const warning of renewed.warnings) notice('warn', warning);
        const { certificate } = renewed;
        if (certificate.sha256 !== shown)
          notice('info', 'clients are shown another certificate from now on', certificate);
        shown = certificate.sha256;
      };
    },
  };
}

const NOT_AT_RUN_TIME = 'cannot begin or end TLS while the gateway runs: restart it';

/** Files that cannot be used are mistakes of the configuration, though they show only when they are read. */
async function readTls(config: Config['listen']['tls'], clock: Clock): Promise<ServerTls | undefined> {
  const tls = await openServerTls(config, clock.now());
  if (tls === undefined || !('mistakes' in tls)) return tls;
  throw new ConfigError(
    tls.mistakes.map(({ key, message }) => ({ place: NOWHERE, path: `listen.tls.${key}`, message })),
  );
}
