/** What lives as long as the process: everything that holds state, connections or files, opened once. */
import { createAccess } from './access/access.ts';
import { createAudit } from './audit/audit.ts';
import { createCache } from './cache/cache.ts';
import { createPurges } from './cache/purges.ts';
import { createFlights } from './cache/single-flight.ts';
import type { Clock } from './clock.ts';
import { type Config, ConfigError } from './config.ts';
import { NOWHERE } from './config/problems.ts';
import { standardOutput } from './logger.ts';
import type { Notice } from './notice.ts';
import type { RedisWatch } from './redis/config.ts';
import { createClientLimit } from './quota/client-limit.ts';
import { openQuota } from './quota/open.ts';
import { createPartSums } from './quota/part-sums.ts';
import type { Fetched } from './server/fetch-kept.ts';
import type { Leader } from './server/kept.ts';
import { createOutage } from './server/outage.ts';
import { createAgent } from './upstream/agent.ts';
import { createNames, type Resolve } from './upstream/dns.ts';
import { createUpstreamProxy } from './upstream/proxy.ts';
import { createMemorySpool, createSpool } from './upstream/spool.ts';
import { openTls, type UpstreamTls } from './upstream/tls.ts';
import { openWayToStorages } from './upstream/way-to-storages.ts';

/** What opening needs from outside: the time, who is told of changes and of Redis's commands, who resolves names, and what the environment says of proxies. */
export type StoresDeps = {
  clock: Clock;
  notice: Notice;
  watch: RedisWatch;
  resolve?: Resolve | undefined;
  proxyFor?: ((url: string) => string | undefined) | undefined;
};

/** All that is open; disposing closes it in the reverse order. */
export type Stores = Awaited<ReturnType<typeof openStores>>;

/** How old a fetch may be, in ms, and still be waited for by others: one that hangs must not take them along. */
const JOINABLE_MS = 5000;

/** Opens everything. Throws a ConfigError where a file that the configuration names cannot be used. */
export async function openStores(config: Config, { clock, notice, watch, resolve, proxyFor }: StoresDeps) {
  const { upstream } = config;
  const redis = { ...config.redis, watch };
  const { url } = upstream;
  if (url === undefined) throw new TypeError('upstream.url is not set');
  await using opening = new AsyncDisposableStack();
  // Opened first, so closed last: until then there is something to write down.
  const audit = createAudit(config.audit, {
    digestKey: config.secrets.digestKey,
    streamOf: (name) => standardOutput(process[name].fd),
    notice,
    clock,
  });
  if (audit) opening.use(audit);
  const certificates = await openCertificates(upstream);
  const { tls } = certificates;
  const spool = opening.use(await createSpool(config.spool));
  const siblingSpool = opening.use(createMemorySpool({ memoryBytes: config.spool.siblingMemoryBytes }));
  const slots = opening.use(await openQuota({ quota: config.quota, redis, egress: config.egress.id, notice }, clock));
  const access = opening.use(
    createAccess(config.access, {
      secrets: { digestKey: config.secrets.digestKey, realm: url },
      redis,
      lifetimeMs: config.cache.lifetimeSeconds * 1000,
      notice,
      clock,
    }),
  );
  // Where nothing is kept, no folder is opened, and no replica has to hear of purges.
  const { enabled: isCaching, disk } = config.cache;
  const cache = opening.use(
    createCache(isCaching ? config.cache : { ...config.cache, disk: { ...disk, dir: undefined } }, { clock, notice }),
  );
  const purges = opening.use(createPurges(cache, isCaching ? redis : undefined, clock));
  const replicas = () => slots.replicas;
  const clientCount = opening.use(createClientLimit(config.clientLimit, { redis, replicas, clock }));
  const loginCount = opening.use(createClientLimit(config.loginLimit, { of: 'login', redis, replicas, clock }));
  const parts = opening.use(createPartSums(redis, clock));
  const names = createNames({ ttlMs: upstream.dnsCacheMs }, clock, resolve);
  const agent = createAgent(new URL(url), upstream, { clock, names, tls });
  const { send } = opening.use(createUpstreamProxy({ ...upstream, url }, clock, agent));
  const byEnvironment = upstream.proxyFromEnvironment ? proxyFor : undefined;
  const { world: storages } = opening.use(openWayToStorages(upstream, { clock, names, tls }, byEnvironment));
  const flights = opening.use(createFlights<Fetched, Leader>({ maxAgeMs: JOINABLE_MS }, clock));
  const outage = createOutage(clock);
  const open = opening.move();
  return {
    upstream: url,
    audit,
    spool,
    siblingSpool,
    slots,
    access,
    isCaching,
    cache,
    purges,
    clientCount,
    loginCount,
    parts,
    send,
    storages,
    flights,
    outage,
    certificates,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** The certificates for the way out, and how to take those that lie in the files now. */
async function openCertificates(upstream: Config['upstream']) {
  let now = await readCertificates(upstream);
  const tls: UpstreamTls = {
    get toUpstream() {
      return now.toUpstream;
    },
    get toProxy() {
      return now.toProxy;
    },
  };
  return {
    tls,
    /** Reads the files anew; what it gives takes them into use. Throws a ConfigError where one cannot be used. */
    async renew(config: Config['upstream']): Promise<() => void> {
      const next = await readCertificates(config);
      return () => {
        now = next;
      };
    },
  };
}

/** Files that cannot be used are mistakes of the configuration, though they show only when they are read. */
async function readCertificates(config: Config['upstream']): Promise<UpstreamTls> {
  const tls = await openTls(config);
  if (!('mistakes' in tls)) return tls;
  const problems = tls.mistakes.map(({ key, message }) => ({ place: NOWHERE, path: `upstream.${key}`, message }));
  throw new ConfigError(problems);
}
