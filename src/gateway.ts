/** The composition root: opens every room and hands each what it needs. */
import { createServer } from 'node:http';
import { type Clock, systemClock } from './clock.ts';
import { createAccess } from './access/access.ts';
import { createCache } from './cache/cache.ts';
import { createPurges } from './cache/purges.ts';
import { createFlights } from './cache/single-flight.ts';
import { type Config, ConfigError } from './config.ts';
import { NOWHERE } from './config/problems.ts';
import { closeServer, listen } from './listen.ts';
import type { Notice } from './notice.ts';
import { createDestinationPolicy } from './policy/destination.ts';
import { createPassthrough } from './policy/passthrough.ts';
import { maxBodyBytes } from './policy/size.ts';
import { createClientLimit, createLocalAllowance } from './quota/client-limit.ts';
import { openQuota } from './quota/open.ts';
import { createPartSums } from './quota/part-sums.ts';
import { createAdmin } from './server/admin.ts';
import { type AppDeps, corsFields, createApp, SECURITY_FIELDS, SECURITY_HEADERS } from './server/app.ts';
import { createClientKey, createForwardedWatch, networkOf, type Trusts } from './server/client.ts';
import { createHot } from './server/hot.ts';
import { createEdge } from './server/edge.ts';
import { refuseOnSocket } from './server/refuse.ts';
import type { FetchDeps, Fetched } from './server/fetch-kept.ts';
import type { Leader } from './server/kept.ts';
import { createOutage } from './server/outage.ts';
import type { RelayLimits } from './server/relay.ts';
import { createWarmer } from './server/warm.ts';
import type { Summary } from './server/summarize.ts';
import { createAgent } from './upstream/agent.ts';
import { createNames, type Resolve } from './upstream/dns.ts';
import { type FollowWorld, withRedirects } from './upstream/follow.ts';
import { createUpstreamProxy } from './upstream/proxy.ts';
import { withQuota } from './upstream/quota.ts';
import { redirectMode } from './upstream/redirects.ts';
import { withRetry } from './upstream/retry.ts';
import { type Layer, stack } from './upstream/send.ts';
import { createMemorySpool, createSpool } from './upstream/spool.ts';
import { openTls, type UpstreamTls } from './upstream/tls.ts';
import { openWayToStorages } from './upstream/way-to-storages.ts';

/**
 * What may be replaced: the time, where the summaries of exchanges go, who is told of changes in the quota's state, who
 * resolves names, and the world in which redirects are followed.
 */
export type Overrides = {
  clock?: Clock;
  record?: (summary: Summary) => void;
  notice?: Notice;
  resolve?: Resolve;
  storage?: FollowWorld;
};

/** A running gateway; disposing drains it first. */
export type Gateway = AsyncDisposable & {
  /** The origins it listens on, without a slash at the end. */
  url: string;
  adminUrl: string;
  /** Stops taking requests, and waits for those under way at most `withinMs`; then connections are cut. */
  drain(withinMs?: number): Promise<void>;
};

/** How old a fetch may be, in ms, and still be waited for by others: one that hangs must not take them along. */
const JOINABLE_MS = 5000;

/** How long a drain waits for requests under way, in ms. */
const DRAIN_MS = 25_000;

/** Builds the whole gateway. What opens here is closed in the reverse order, also when building fails halfway. */
export async function createGateway(config: Config, overrides: Overrides = {}): Promise<Gateway> {
  const { clock = systemClock, record = () => {}, notice = () => {}, resolve, storage = {} } = overrides;
  const { limits, upstream, quota } = config;
  const { url } = upstream;
  if (url === undefined) throw new TypeError('upstream.url is not set');
  let isDraining = false;
  const tls = await tlsOf(upstream);

  await using opening = new AsyncDisposableStack();
  const spool = opening.use(await createSpool(config.spool));
  const slots = opening.use(await openQuota({ quota, redis: config.redis, egress: config.egress.id, notice }, clock));
  const lifetimeMs = config.cache.lifetimeSeconds * 1000;
  const access = opening.use(
    createAccess(config.access, {
      secrets: { digestKey: config.secrets.digestKey, realm: url },
      redis: config.redis,
      lifetimeMs,
      notice,
      clock,
    }),
  );
  // Where nothing is kept, no folder is opened, and no replica has to hear of purges.
  const { enabled: isCaching, disk } = config.cache;
  const cache = opening.use(
    createCache(isCaching ? config.cache : { ...config.cache, disk: { ...disk, dir: undefined } }, { clock, notice }),
  );
  const count = opening.use(
    createClientLimit(config.clientLimit, { redis: config.redis, replicas: () => slots.replicas, clock }),
  );
  const names = createNames({ ttlMs: upstream.dnsCacheMs }, clock, resolve);
  const agent = createAgent(new URL(url), upstream, { clock, names, tls });
  const proxy = opening.use(createUpstreamProxy({ ...upstream, url }, clock, agent));
  const redirects = redirectMode(config.redirects);
  const follow = (): Layer[] => {
    if (redirects !== 'follow') return [];
    const { world } = opening.use(openWayToStorages(upstream, { clock, names, tls }));
    return [withRedirects({ ...config.redirects, ...upstream, url }, clock, { ...world, ...storage })];
  };
  const send = stack(...follow(), withRetry(config.retry, clock), withQuota(slots, clock))(proxy.send);
  const flights = opening.use(createFlights<Fetched, Leader>({ maxAgeMs: JOINABLE_MS }, clock));
  const isProven = (app: string, token: string) => access.isProven(app, token);
  const asking: FetchDeps & { answer: RelayLimits } = {
    clock,
    send,
    access,
    cache,
    keep: config.cache,
    answer: { maxBytes: maxBodyBytes(limits), idleMs: upstream.idleTimeoutMs },
    outage: createOutage(clock),
    prove: (bearer) => slots.prove(bearer),
    line: {
      maxWaitMs: {
        upload: quota.uploadMaxWaitMs ?? quota.maxWaitMs,
        download: quota.downloadMaxWaitMs ?? quota.maxWaitMs,
        thumbnail: quota.thumbnailMaxWaitMs ?? quota.maxWaitMs,
        sibling: quota.maxWaitMs,
      },
      thumbnailsFirst: quota.thumbnailsFirst,
      clientKey: createClientKey(quota.fairBy, isProven),
    },
  };
  const isWarming = isCaching && config.cache.warmOnUpload;
  const warmer = isWarming ? opening.use(createWarmer(asking)) : undefined;

  const limitRules = {
    status: config.clientLimit.status,
    local: createLocalAllowance(config.clientLimit.localPerSecond, clock),
    addressOf: networkOf,
    watchForwarded: createForwardedWatch((message, details) => notice('warn', message, details)),
  };
  // Nothing is opened for paths that nobody has named.
  const isPassing = (path: string) => config.passthrough.some((pattern) => pattern.includes(path));
  const loginCount = opening.use(
    createClientLimit(config.loginLimit, {
      of: 'login',
      redis: config.passthrough.length > 0 ? config.redis : undefined,
      replicas: () => slots.replicas,
      clock,
    }),
  );
  const parts = opening.use(
    createPartSums({ maxBytes: limits.fileBytes }, isPassing('part-upload') ? config.redis : undefined, clock),
  );
  const deps: AppDeps = {
    ...asking,
    record,
    compat: config.compat,
    siblings: {
      spool: opening.use(createMemorySpool({ memoryBytes: config.spool.siblingMemoryBytes })),
      maxBytes: limits.siblingBytes,
      maxLoginBytes: limits.loginBytes,
      loginLimit: {
        ...limitRules,
        count: loginCount,
        seconds: config.loginLimit.seconds,
        keyOf: createClientKey('address'),
      },
      parts,
    },
    isCaching,
    flights,
    waitingOf: (place) => slots.waitingOf(place),
    warmer,
    limit: {
      ...limitRules,
      count,
      seconds: config.clientLimit.seconds,
      keyOf: createClientKey(config.clientLimit.by, isProven),
    },
    tell: config.tell,
    redirects: { passes: redirects === 'pass', upstream: url, publicUrl: config.publicUrl },
    spool,
    discard: limits,
    isDraining: () => isDraining,
    authorize: {
      isAllowedDestination: createDestinationPolicy(config.destinations),
      checkExpiry: config.tokens.checkExpiry,
      anonymousDownloads: config.tokens.anonymousDownloads,
    },
    size: limits,
    body: { idleMs: limits.bodyIdleMs, totalMs: limits.bodyTotalMs },
    trustedProxies: config.trustedProxies,
    cors: config.cors,
    publicUrl: config.publicUrl,
  };
  const app = createApp(deps);
  const trusts = app.get('trust proxy fn') as Trusts;
  const commonFields = [...SECURITY_FIELDS, ...corsFields(config.cors)];
  const hot = createHot({ ...deps, trusts, commonFields }, app);
  const edge = createEdge(
    isCaching ? hot : app,
    limits,
    (code, socket) => refuseOnSocket(code, socket, { clock, record, securityHeaders: SECURITY_HEADERS }),
    createPassthrough(config.passthrough),
  );
  const drain = async (withinMs = DRAIN_MS) => {
    isDraining = true;
    await closeServer(edge, withinMs, clock);
  };
  opening.defer(() => drain(0));
  const purges = opening.use(createPurges(cache, isCaching ? config.redis : undefined, clock));
  const admin = createServer(
    createAdmin({
      isReady: () => !isDraining,
      token: config.admin.token,
      hosts: ['localhost', '127.0.0.1', '[::1]', config.admin.host, ...config.admin.hosts].map((host) =>
        host.toLowerCase(),
      ),
      stats: () => ({ cache: cache.stats(), access: access.stats() }),
      purge: (selector) => purges.purge(selector),
    }),
  );
  opening.defer(() => closeServer(admin, 0, clock));

  const origin = await listen(edge, config.listen, 'listen');
  const adminOrigin = await listen(admin, config.admin, 'admin');
  const open = opening.move();
  return { url: origin, adminUrl: adminOrigin, drain, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** Files that cannot be used are mistakes of the configuration, though they show only when they are read. */
async function tlsOf(config: Config['upstream']): Promise<UpstreamTls> {
  const tls = await openTls(config);
  if (!('mistakes' in tls)) return tls;
  const problems = tls.mistakes.map(({ key, message }) => ({ place: NOWHERE, path: `upstream.${key}`, message }));
  throw new ConfigError(problems);
}
