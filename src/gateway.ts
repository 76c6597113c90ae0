/** The composition root: opens every room and hands each what it needs. */
import { TLSSocket } from 'node:tls';
import { type Clock, systemClock } from './clock.ts';
import type { Config } from './config.ts';
import { openEntrance } from './entrance.ts';
import { createFront, type Front } from './front.ts';
import { createHealth, type Health } from './health.ts';
import { closeServer, listen } from './listen.ts';
import { createMetrics } from './metrics/metrics.ts';
import type { Notice } from './notice.ts';
import { openTracing, sourcesOf, VERSION } from './observe.ts';
import { createAdmin, createAdminServer, hostsOf } from './server/admin.ts';
import { createGuessWatch } from './server/guess-watch.ts';
import type { OperatorActs } from './server/operator.ts';
import { createForwardedWatch } from './server/client.ts';
import { type Drained, drainServer, type DrainTimes } from './server/drain.ts';
import { boundEdge, createEdge } from './server/edge.ts';
import { createRecent } from './server/recent.ts';
import { refuseOnSocket } from './server/refuse.ts';
import type { Summary } from './server/summarize.ts';
import { UnderWay } from './server/under-way.ts';
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
  /** Ends without losing a request, as far as the times given, or else configured, allow; once. */
  drain(times?: Partial<DrainTimes>): Promise<Drained>;
  /** How it is, for whoever has something to report. */
  health: Health;
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

/** Builds the whole gateway. What opens here is closed in the reverse order, also when building fails halfway. */
export async function createGateway(config: Config, overrides: Overrides = {}): Promise<Gateway> {
  const { clock = systemClock, resolve, proxyFor, storage = {} } = overrides;
  const required = config.readiness.requireRedis && config.redis.url !== undefined ? ['redis'] : [];
  const health = createHealth({ required }, clock);
  // It could be loaded, or nobody would be here; who loads it anew reports how that went.
  health.report('config', { is: 'ok' });
  const notice = health.hear(overrides.notice ?? (() => {}));
  const recent = createRecent();

  await using opening = new AsyncDisposableStack();
  const metrics = createMetrics({ ...config.metrics, version: VERSION }, clock);
  // It listens before all else is open and until all else is closed: whoever looks after this process asks there.
  let acts: OperatorActs | undefined;
  const admin = createAdminServer(
    createAdmin({
      health,
      metrics: metrics.scrape,
      token: config.admin.token,
      hosts: hostsOf(config.admin),
      acts: () => acts,
      tellGuess: createGuessWatch(notice, clock),
    }),
  );
  opening.defer(() => closeServer(admin, 0, clock));
  const adminOrigin = await listen(admin, config.admin, 'admin');

  const tracing = opening.use(await openTracing(config.tracing, { clock, notice }));
  const entrance = await openEntrance(config, { clock, notice });
  const stores = opening.use(await openStores(config, { clock, notice, watch: metrics.redis, resolve, proxyFor }));
  metrics.read(sourcesOf(config, stores, health));
  const record = (summary: Summary) => {
    metrics.record(summary);
    recent.add(summary);
    overrides.record?.(summary);
  };
  const { access, cache, purges } = stores;
  const isWarming = stores.isCaching && config.cache.warmOnUpload;
  const warmer = isWarming ? opening.use(createWarmer(() => front.fetching, clock)) : undefined;
  const watchForwarded = createForwardedWatch((message, details) => notice('warn', message, details));
  const { outbound } = metrics;
  const watching = { record, outbound, tracing };
  const ground = { clock, stores, ...watching, warmer, watchForwarded, notice, storage };
  let front: Front = createFront(config, ground);

  const underWay = new UnderWay(clock);
  const edge = createEdge(
    metrics.active((req, res) => front.handle(req, res)),
    () => front.limits,
    (code, socket, raw) => {
      const securityHeaders = front.refusalLines(socket instanceof TLSSocket, raw);
      refuseOnSocket(code, socket, { clock, record, securityHeaders });
    },
    (raw) => front.readSibling?.(raw),
    entrance,
    underWay,
  );
  const hurry = new AbortController();
  let times = config.drain;
  let draining: Promise<Drained> | undefined;
  const endLine = (withinMs: number) => stores.slots.endWithin(withinMs);
  const drain = (given: Partial<DrainTimes> = {}) => {
    health.drain();
    draining ??= drainServer(
      { ...times, ...given },
      { server: edge, underWay, endLine, hurry: hurry.signal, clock, notice },
    );
    return draining;
  };
  opening.defer(async () => {
    hurry.abort();
    await drain({ delayMs: 0, deadlineMs: 0 });
  });
  const { clientCount } = stores;
  if (config.redis.url !== undefined) {
    health.watch('clientLimit', () => (clientCount.isShared ? { is: 'ok' } : COUNTED_ALONE));
  }
  health.watch('upstream', () => (stores.outage.isOn ? UPSTREAM_DOWN : { is: 'ok' }));

  const reload = async (next: Config) => {
    const takeCertificates = await stores.certificates.renew(next.upstream);
    const takeEntrance = await entrance.renew(next);
    takeCertificates();
    takeEntrance(edge);
    stores.clientCount.retune(next.clientLimit);
    stores.loginCount.retune(next.loginLimit);
    front = createFront(next, ground);
    // It asks another clamd, perhaps; the next upload tells.
    if (health.isDegraded('scan')) health.report('scan', { is: 'ok' });
    boundEdge(edge, front.limits);
    times = next.drain;
  };

  const reopen = () => stores.audit?.reopen();

  const origin = await listen(edge, config.listen, 'listen');
  acts = {
    stats: () => ({ cache: cache.stats(), access: access.stats() }),
    async purge(selector, peer) {
      const purged = await purges.purge(selector);
      notice('info', 'the operator has purged the cache', { ...selector, ...purged, peer });
      return purged;
    },
    explain: (question) => front.explain(question),
    recent,
  };
  health.opened();
  const open = opening.move();
  return {
    url: origin,
    adminUrl: adminOrigin,
    health,
    drain,
    reload,
    noteReload: metrics.reloaded,
    reopen,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

const COUNTED_ALONE = {
  is: 'degraded',
  because: 'Redis is away for the counts of clients: each replica counts them by itself, against its share',
} as const;

const UPSTREAM_DOWN = {
  is: 'degraded',
  because: 'the last request to Easemob found it down, or out of reach; the log says how',
} as const;
