/** What is made from the configuration alone, and made anew when it changes: policies, limits, routes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Notice } from './notice.ts';
import { createContentPolicy } from './policy/content.ts';
import { createDestinationPolicy } from './policy/destination.ts';
import { createPassthrough, type Passthrough } from './policy/passthrough.ts';
import { maxBodyBytes } from './policy/size.ts';
import { createLocalAllowance } from './quota/client-limit.ts';
import { type AppDeps, corsFields, createApp, securityFields } from './server/app.ts';
import { createClientKey, type ForwardedWatch, networkOf, type Trusts } from './server/client.ts';
import type { EdgeLimits } from './server/edge.ts';
import type { Explain } from './server/explain-steps.ts';
import { createExplain } from './server/explain.ts';
import type { FetchDeps } from './server/fetch-kept.ts';
import { createHot } from './server/hot.ts';
import { hstsSecondsOf } from './server/listen-config.ts';
import { createWitness } from './server/movement.ts';
import { createScanner } from './scan/scanner.ts';
import type { RelayLimits } from './server/relay.ts';
import type { Summary } from './server/summarize.ts';
import type { Warmer } from './server/warm.ts';
import type { Stores } from './stores.ts';
import type { Tracing } from './tracing/trace.ts';
import { type FollowWorld, withRedirects } from './upstream/follow.ts';
import { withQuota } from './upstream/quota.ts';
import { redirectMode } from './upstream/redirects.ts';
import { withRetry } from './upstream/retry.ts';
import { type Layer, stack } from './upstream/send.ts';
import { type OutboundWatch, withWatch } from './upstream/watch.ts';

/** What it stands on beside the stores, and outlives it too. */
export type FrontDeps = {
  clock: Clock;
  stores: Stores;
  record: (summary: Summary) => void;
  /** Who is told of attempts, and the traces that they belong to. */
  outbound: OutboundWatch;
  tracing: Pick<Tracing, 'begin'>;
  warmer: Warmer | undefined;
  watchForwarded: ForwardedWatch;
  notice: Notice;
  /** The world in which redirects are followed, where a test has its own. */
  storage: FollowWorld;
};

/** How requests are read, judged and answered under one configuration; those under way keep theirs to the end. */
export type Front = {
  handle: (req: IncomingMessage, res: ServerResponse) => void;
  readSibling: Passthrough | undefined;
  limits: EdgeLimits;
  /** The lines that every answer has which is written on the bare socket, in TLS or not; `raw` is what was read there last. */
  refusalLines: (isTls: boolean, raw?: Buffer) => string[];
  explain: Explain;
  /** How a file is fetched that nobody has asked for yet. */
  fetching: FetchDeps;
};

/** Makes the front of one configuration. It opens nothing, so that there is nothing to close. */
export function createFront(config: Config, deps: FrontDeps): Front {
  const { stores, clock } = deps;
  const fetching = fetchingOf(config, deps);
  const appDeps = appDepsOf(config, fetching, deps);
  const app = createApp(appDeps);
  const trusts = app.get('trust proxy fn') as Trusts;
  const commonFields = [...securityFields(appDeps.hstsSeconds), ...corsFields(config.cors)];
  const hot = createHot({ ...appDeps, clock, trusts, commonFields }, app);
  const readSibling = createPassthrough(config.passthrough);
  return {
    handle: stores.isCaching ? hot : app,
    readSibling,
    explain: createExplain({ ...appDeps, readSibling, outlook: (place) => stores.slots.outlook(place) }),
    limits: config.limits,
    refusalLines: (isTls, raw) => [
      // Over plain HTTP, nothing may be promised of TLS.
      ...securityFields(isTls ? appDeps.hstsSeconds : 0).map(([name, value]) => `${name}: ${value}`),
      ...corsLinesOf(config.cors, raw),
    ],
    fetching,
  };
}

/** Where one origin may read answers, or all, it need not be known who asks. */
function corsLinesOf(cors: Config['cors'], raw: Buffer | undefined): string[] {
  const [first, ...more] = cors.origins;
  const asked = /\r\norigin:[ \t]*([^\s,]{1,300})[ \t]*\r\n/i.exec(raw?.toString('latin1') ?? '')?.[1];
  return corsFields(cors, more.length === 0 ? first : asked).map(([name, value]) => `${name}: ${value}`);
}

function fetchingOf(config: Config, { clock, stores, storage, outbound }: FrontDeps) {
  const { quota, upstream, redirects } = config;
  const { access, slots, cache, outage } = stores;
  const world = { ...stores.storages, ...storage };
  const follow: Layer[] =
    redirectMode(redirects) === 'follow'
      ? [withRedirects({ ...redirects, ...upstream, url: stores.upstream }, clock, world)]
      : [];
  const { propagate } = config.tracing;
  const send = stack(
    ...follow,
    withRetry(config.retry, clock, outbound),
    withQuota(slots, clock, outbound),
    withWatch({ propagate, url: stores.upstream }, outbound, clock),
  )(stores.send);
  return {
    clock,
    send,
    access,
    cache,
    keep: config.cache,
    answer: { maxBytes: maxBodyBytes(config.limits), idleMs: upstream.idleTimeoutMs },
    outage,
    prove: (bearer) => slots.prove(bearer),
    line: {
      maxWaitMs: {
        upload: quota.uploadMaxWaitMs ?? quota.maxWaitMs,
        download: quota.downloadMaxWaitMs ?? quota.maxWaitMs,
        thumbnail: quota.thumbnailMaxWaitMs ?? quota.maxWaitMs,
        sibling: quota.maxWaitMs,
      },
      thumbnailsFirst: quota.thumbnailsFirst,
      clientKey: createClientKey(quota.fairBy, (app, token) => access.isProven(app, token)),
    },
  } satisfies FetchDeps & { answer: RelayLimits };
}

function appDepsOf(config: Config, fetching: ReturnType<typeof fetchingOf>, deps: FrontDeps): AppDeps {
  const { clock, stores, record, tracing, warmer, watchForwarded, notice } = deps;
  const { limits, clientLimit, loginLimit, tokens } = config;
  const { access, slots } = stores;
  const limitRules = {
    status: clientLimit.status,
    local: createLocalAllowance(clientLimit.localPerSecond, clock),
    addressOf: networkOf,
    watchForwarded,
  };
  return {
    ...fetching,
    record,
    tracing,
    witness: createWitness(stores.audit, config.audit),
    inspect: {
      content: createContentPolicy(config.content),
      scanner: createScanner(config.scan, { clock, notice }),
      failOpen: config.scan.failOpen,
      enforce: config.enforce,
    },
    compat: config.compat,
    siblings: {
      spool: stores.siblingSpool,
      maxBytes: limits.siblingBytes,
      maxLoginBytes: limits.loginBytes,
      loginLimit: {
        ...limitRules,
        count: stores.loginCount,
        seconds: loginLimit.seconds,
        keyOf: createClientKey('address'),
      },
      parts: stores.parts,
    },
    isCaching: stores.isCaching,
    flights: stores.flights,
    waitingOf: (place) => slots.waitingOf(place),
    warmer,
    limit: {
      ...limitRules,
      count: stores.clientCount,
      seconds: clientLimit.seconds,
      keyOf: createClientKey(clientLimit.by, (app, token) => access.isProven(app, token)),
    },
    tell: config.tell,
    redirects: {
      passes: redirectMode(config.redirects) === 'pass',
      upstream: stores.upstream,
      publicUrl: config.publicUrl,
    },
    spool: stores.spool,
    discard: limits,
    authorize: {
      isAllowedDestination: createDestinationPolicy(config.destinations),
      checkExpiry: tokens.checkExpiry,
      anonymousDownloads: tokens.anonymousDownloads,
      enforce: config.enforce,
    },
    size: limits,
    body: { idleMs: limits.bodyIdleMs, totalMs: limits.bodyTotalMs },
    trustedProxies: config.trustedProxies,
    cors: config.cors,
    hstsSeconds: hstsSecondsOf(config.listen),
    publicUrl: config.publicUrl,
  };
}
