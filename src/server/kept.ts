/**
 * Files that may be kept: from the cache, together with others, or from the upstream.
 *
 *   look → (join → look)* → limit → fetch → answer
 *
 * 1. What is kept goes to whom `access` says may see it. This is the only way from the cache to a client, whoever put
 *    the entry there and however long this one has waited for it.
 * 2. A request may wait for another's fetch, or for another request of its own bearer that the upstream is asked about:
 *    then it looks again. Waiting gives no right; it only spares a request to those who turn out to have it. Who has
 *    waited to learn that its token is refused, or that the upstream is down, does not ask once more.
 * 3. Else it asks the upstream with its own credentials, and gets what the upstream gives to them.
 *
 * Between a look at the flights and the start of one nothing is waited for: what comes in between would all ask.
 */
import type { Request, Response } from 'express';
import type { Access, Asked } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import type { Cache, Tier } from '../cache/cache.ts';
import { type CacheKey, type Entry, textOf } from '../cache/entry.ts';
import type { Flight, Flights } from '../cache/single-flight.ts';
import { GatewayError, KINDS } from '../errors.ts';
import type { Variant } from '../policy/variant.ts';
import { answerKept } from './answer-kept.ts';
import type { Exchange } from './exchange.ts';
import { dispose, fetchKept, type Fetched, type FetchDeps } from './fetch-kept.ts';
import { limit, limitLocal, type LimitRules } from './limit.ts';
import { saysDown } from './outage.ts';
import { refuseAgain } from './recognise.ts';
import { respondWithFile, type RespondDeps } from './respond.ts';
import { cacheStatus, serverTiming } from './told.ts';

/** What a request for a file that may be kept needs on its way. */
export type KeptDeps = FetchDeps &
  RespondDeps & {
    access: Access;
    cache: Cache;
    flights: Flights<Fetched, Leader>;
    limit: LimitRules;
    /** How many requests of a client wait for slots. */
    waitingOf: (place: { client: string; app: string }) => number;
  };

/** What is noted about a flight: in whose line it stands, whether it has gone out, and how many others wait for it. */
export type Leader = { client: string; hasGone: boolean; joined: number };

/** A request for a file's form: who asks, for what, and the path that says so to the upstream. */
export type KeptRequest = {
  bearer: Bearer;
  asked: Asked;
  variant: Variant;
  path: string;
  headers: Record<string, string>;
};

/** How often a request waits for others before it asks for itself. */
const MAX_JOINS = 2;

type Look = { key: CacheKey; entry: Entry | undefined; tier: Tier | undefined };

/** An end without an entry: what the upstream said to whoever asked. */
type Passed = Extract<Fetched, { kind: 'passed' }>;

/** Answers a request for a file's form that may be kept. */
export async function serveKept(
  request: KeptRequest,
  req: Request,
  res: Response,
  exchange: Exchange,
  deps: KeptDeps,
): Promise<void> {
  const key = { app: request.bearer.app, file: request.asked.file, variant: request.variant };
  let joins = 0;
  for (;;) {
    const look = await lookUp(key, deps);
    const hit = look.entry && seen(request, look, deps, joins > 0);
    if (hit !== undefined && look.entry) {
      await limitLocal(req, exchange, deps.limit);
      return answer(look.entry, hit, req, res, exchange, deps);
    }
    const flight = joins < MAX_JOINS ? joinable(request, look, exchange, deps) : undefined;
    if (!flight) return ask(request, look, req, res, exchange, deps);
    joins += 1;
    const landed = await waitFor(flight, exchange.signal, deps.flights);
    refuseAgain(deps.access, request.bearer);
    if (landed instanceof GatewayError && joins === MAX_JOINS) throw landed;
    if (landed && 'outcome' in landed) return settle(landed, request, look, req, res, exchange, deps);
  }
}

async function lookUp(key: CacheKey, { cache }: KeptDeps): Promise<Look> {
  const inMemory = cache.fromMemory(key);
  if (inMemory) return { key, entry: inMemory, tier: 'memory' };
  const onDisk = await cache.fromDisk(key);
  return { key, entry: onDisk, tier: onDisk && 'disk' };
}

/** What to tell of a hit, if this request may see what is kept. */
function seen({ bearer, asked }: KeptRequest, { tier }: Look, { access, outage }: KeptDeps, hasJoined: boolean) {
  const sight = access.maySee(bearer, asked, outage.isOn);
  if (!sight.allowed || tier === undefined) return undefined;
  if (sight.usedGrace) return cacheStatus({ hit: 'grace' });
  return hasJoined ? cacheStatus({ fwd: 'uri-miss', collapsed: true }) : cacheStatus({ hit: tier });
}

/** A request under way that may spare this one: one for the same file with the same rights, or one of the same bearer. */
function joinable(request: KeptRequest, { key, entry }: Look, exchange: Exchange, deps: KeptDeps) {
  const name = flightName(request, key, deps.access);
  // A bearer who is not believed has nothing to gain from its other requests where there is nothing to show it.
  if (entry === undefined && name === vouchName(request.bearer)) return undefined;
  const flight = deps.flights.find(name);
  return flight && standsLonger(flight.about, request, exchange, deps) ? undefined : flight;
}

/** How many may wait before a flight in a client's line for others to stand in a line of their own instead. */
const FEW = 3;

/** Whether a flight stands behind much that its own client waits for, while this one's waits for nothing. */
function standsLonger(
  { client, hasGone }: Leader,
  { bearer }: KeptRequest,
  exchange: Exchange,
  deps: KeptDeps,
): boolean {
  if (hasGone || deps.waitingOf({ client, app: bearer.app }) <= FEW) return false;
  return deps.waitingOf({ client: clientOf(bearer, exchange, deps), app: bearer.app }) === 0;
}

const clientOf = ({ app, token }: Bearer, exchange: Exchange, { line }: KeptDeps): string =>
  line.clientKey(exchange.client, app, token);

/**
 * The name of a request under way: that of the file and of a group that has the same rights to it, but only if this bearer
 * may spare others a request, so that nobody is made to wait for made-up credentials; else its own.
 */
function flightName({ bearer, asked }: KeptRequest, key: CacheKey, access: Access): string {
  const group = maySpareOthers(bearer, access) ? access.groupOf(bearer, asked) : undefined;
  return group === undefined ? vouchName(bearer) : `fetch ${textOf(key)} ${group}`;
}

/**
 * Whether it may be waited for, or wait, at all: if it is believed. Those without a token who bring the same secret for
 * the same file have the very same credentials, so that none of them can fare otherwise than the other.
 */
const maySpareOthers = (bearer: Bearer, access: Access): boolean =>
  bearer.kind === 'nobody' || access.holdsGrant(bearer);

const vouchName = ({ key }: Bearer): string => `vouch ${key}`;

/**
 * Waits for another's request. How it ended is mostly that one's own business: what it has taught is looked up. But that
 * the upstream is down, or broke off, is so for all; of what it said then, the status is enough.
 */
async function waitFor(
  flight: Flight<Fetched, Leader>,
  signal: AbortSignal,
  flights: KeptDeps['flights'],
): Promise<Passed | GatewayError | undefined> {
  flight.about.joined += 1;
  try {
    const fetched = await flights.join(flight, signal);
    if (fetched.kind === 'entry' || !saysDown(fetched.outcome)) return undefined;
    const { outcome } = fetched;
    return outcome.kind === 'refusal' ? { ...fetched, outcome: { ...outcome, body: Buffer.alloc(0) } } : fetched;
  } catch (thrown) {
    if (signal.aborted) throw new GatewayError('CLIENT_GONE', { reason: 'left while others fetched the file' });
    return thrown instanceof GatewayError && KINDS[thrown.code].source === 'upstream' ? thrown : undefined;
  } finally {
    flight.about.joined -= 1;
  }
}

/** Asks the upstream, as a flight that others may join. */
async function ask(
  request: KeptRequest,
  look: Look,
  req: Request,
  res: Response,
  exchange: Exchange,
  deps: KeptDeps,
): Promise<void> {
  const { key, entry } = look;
  const about: Leader = { client: clientOf(request.bearer, exchange, deps), hasGone: false, joined: 0 };
  const onSent = () => {
    about.hasGone = true;
  };
  const flight = deps.flights.start(flightName(request, key, deps.access), about, async (closing) => {
    await limit(req, res, exchange, request.bearer.token, deps.limit);
    return fetchKept({ ...request, key, entry, closing, onSent, mayLeave: () => about.joined === 0 }, exchange, deps);
  });
  const fetched = await deps.flights.join(flight, exchange.signal).catch((thrown: unknown) => {
    if (!exchange.signal.aborted) throw thrown;
    // Nobody is there any more to take what cannot be kept.
    void flight.result.then(
      (left) => left.kind === 'passed' && left.outcome.kind === 'answer' && dispose(left.outcome),
      () => {},
    );
    throw new GatewayError('CLIENT_GONE', { reason: 'left while the upstream was asked' });
  });
  if (fetched.kind === 'passed') return settle(fetched, request, look, req, res, exchange, deps);
  const status = cacheStatus({
    fwd: entry ? 'request' : 'uri-miss',
    fwdStatus: fetched.status,
    stored: fetched.isKept,
  });
  return answer(fetched.entry, status, req, res, exchange, deps);
}

/** Answers with what the upstream said; or, while it is down, with what is kept, to those whom a grace is given. */
async function settle(
  { outcome, sentAt }: Passed,
  { bearer, asked }: KeptRequest,
  { entry }: Look,
  req: Request,
  res: Response,
  exchange: Exchange,
  deps: KeptDeps,
): Promise<void> {
  if (entry && saysDown(outcome) && deps.access.maySee(bearer, asked, true).allowed) {
    if (outcome.kind === 'refusal') exchange.upstreamStatus = outcome.status;
    return answer(entry, cacheStatus({ hit: 'grace' }), req, res, exchange, deps);
  }
  exchange.cache = cacheStatus({ fwd: 'uri-miss' });
  await respondWithFile({ outcome, sentAt, bearer, asked }, req, res, exchange, deps);
}

/** Answers with an entry, and tells what became of the request in the cache. */
function answer(entry: Entry, status: string, req: Request, res: Response, exchange: Exchange, deps: KeptDeps) {
  exchange.cache = status;
  res.setHeader('Cache-Status', status);
  if (deps.tell.serverTiming) res.setHeader('Server-Timing', serverTiming(exchange.trail));
  return answerKept(entry, req, res, exchange, deps);
}
