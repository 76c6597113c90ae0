/** The composition root: opens every room and hands each what it needs. */
import { createServer } from 'node:http';
import { TLSSocket } from 'node:tls';
import { type Clock, systemClock } from './clock.ts';
import type { Config } from './config.ts';
import { openEntrance } from './entrance.ts';
import { createFront, type Front } from './front.ts';
import { closeServer, listen } from './listen.ts';
import { createMetrics } from './metrics/metrics.ts';
import type { Notice } from './notice.ts';
import { openTracing, sourcesOf, VERSION } from './observe.ts';
import { createAdmin } from './server/admin.ts';
import { createForwardedWatch } from './server/client.ts';
import { boundEdge, createEdge } from './server/edge.ts';
import { refuseOnSocket } from './server/refuse.ts';
import type { Summary } from './server/summarize.ts';
import { createWarmer } from './server/warm.ts';
import { openStores } from './stores.ts';
import type { Resolve } from './upstream/dns.ts';
import type { FollowWorld } from './upstream/follow.ts';

/**
 * What may be replaced: the time, where the summaries of exchanges go, who is told of changes in the quota's state, who
 * resolves names, and the world in which redirects are followed.
 */
export type Overrides = {
  clock?: Clock;
  record?: (summary: Summary) => void;
  notice?: Notice;
  resolve?: Resolve;
  /** What the environment says of proxies, where the configuration obeys it. */
  proxyFor?: (url: string) => string | undefined;
  storage?: FollowWorld;
};

/** A running gateway; disposing drains it first. */
export type Gateway = AsyncDisposable & {
  /** The origins it listens on, without a slash at the end. */
  url: string;
  adminUrl: string;
  /** Stops taking requests, and waits for those under way at most `withinMs`; then connections are cut. */
  drain(withinMs?: number): Promise<void>;
  /**
   * Takes another configuration into use: all that is made from it alone, and the certificates. Requests under way end by
   * the earlier one. Where a file that it names cannot be used it rejects with a ConfigError, and nothing has changed.
   */
  reload(config: Config): Promise<void>;
  /** Counts a reload that came to its end: taken, or refused for a mistake. */
  noteReload: (isTaken: boolean) => void;
  /** Opens the audit log's file anew: somebody may have moved it away. */
  reopen(): void;
};

/** How long a drain waits for requests under way, in ms. */
const DRAIN_MS = 25_000;

/** Builds the whole gateway. What opens here is closed in the reverse order, also when building fails halfway. */
export async function createGateway(config: Config, overrides: Overrides = {}): Promise<Gateway> {
  const { clock = systemClock, notice = () => {}, resolve, proxyFor, storage = {} } = overrides;
  let isDraining = false;

  await using opening = new AsyncDisposableStack();
  const metrics = createMetrics({ ...config.metrics, version: VERSION }, clock);
  const tracing = opening.use(await openTracing(config.tracing, { clock, notice }));
  const entrance = await openEntrance(config, { clock, notice });
  const stores = opening.use(await openStores(config, { clock, notice, watch: metrics.redis, resolve, proxyFor }));
  metrics.read(sourcesOf(config, stores));
  const record = (summary: Summary) => {
    metrics.record(summary);
    overrides.record?.(summary);
  };
  const { access, cache, purges } = stores;
  const isWarming = stores.isCaching && config.cache.warmOnUpload;
  const warmer = isWarming ? opening.use(createWarmer(() => front.fetching, clock)) : undefined;
  const watchForwarded = createForwardedWatch((message, details) => notice('warn', message, details));
  const { outbound } = metrics;
  const watching = { record, outbound, tracing };
  const ground = { clock, stores, ...watching, isDraining: () => isDraining, warmer, watchForwarded, notice, storage };
  let front: Front = createFront(config, ground);

  const edge = createEdge(
    metrics.active((req, res) => front.handle(req, res)),
    () => front.limits,
    (code, socket, raw) => {
      const securityHeaders = front.refusalLines(socket instanceof TLSSocket, raw);
      refuseOnSocket(code, socket, { clock, record, securityHeaders });
    },
    (raw) => front.readSibling?.(raw),
    entrance,
  );
  const drain = async (withinMs = DRAIN_MS) => {
    isDraining = true;
    await closeServer(edge, withinMs, clock);
  };
  opening.defer(() => drain(0));
  const admin = createServer(
    createAdmin({
      isReady: () => !isDraining,
      metrics: metrics.scrape,
      token: config.admin.token,
      hosts: ['localhost', '127.0.0.1', '[::1]', config.admin.host, ...config.admin.hosts].map((host) =>
        host.toLowerCase(),
      ),
      stats: () => ({ cache: cache.stats(), access: access.stats() }),
      purge: (selector) => purges.purge(selector),
    }),
  );
  opening.defer(() => closeServer(admin, 0, clock));

  const reload = async (next: Config) => {
    const takeCertificates = await stores.certificates.renew(next.upstream);
    const takeEntrance = await entrance.renew(next);
    takeCertificates();
    takeEntrance(edge);
    stores.clientCount.retune(next.clientLimit);
    stores.loginCount.retune(next.loginLimit);
    front = createFront(next, ground);
    boundEdge(edge, front.limits);
  };

  const reopen = () => stores.audit?.reopen();

  const origin = await listen(edge, config.listen, 'listen');
  const adminOrigin = await listen(admin, config.admin, 'admin');
  const open = opening.move();
  return {
    url: origin,
    adminUrl: adminOrigin,
    drain,
    reload,
    noteReload: metrics.reloaded,
    reopen,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
