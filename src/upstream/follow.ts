/**
 * Follows the upstream's redirects to an object storage, so that clients are not sent around the gateway.
 *
 * 1. The upstream's answer names a goal; redirects.ts says whether it may be followed.
 * 2. The goal is asked with fields of our own, and of the client's only those that say which part of the file it wants:
 *    no token, no secret, no cookie. It costs nothing of the quota, which is the upstream's, but has bounds of its own.
 * 3. Its name is resolved once, every address must be public, and the connection goes to exactly these addresses: between
 *    a look and a connection of its own, a name could change what it means.
 * 4. What comes is an answer like the upstream's own. What does not come says nothing of tokens or of the upstream, so it
 *    is thrown as an error, past those who learn from refusals and failures.
 */
import { lookup as resolve } from 'node:dns/promises';
import type { Agent as HttpAgent, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request as ask } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { isUnreadable } from './attempt.ts';
import { createPlaces } from './places.ts';
import { isPublicAddress } from './public-address.ts';
import { goalOf, isRedirect } from './redirects.ts';
import { readRetryAfterMs } from './retry-after.ts';
import type { Layer, OutboundRequest, Outcome } from './send.ts';
import { skip } from './skip.ts';

/** Where redirects may lead and how many may be followed, from the upstream at `url`, within which times in ms. */
export type FollowConfig = {
  url: string;
  hosts: readonly string[];
  maxHops: number;
  maxAtOnce: number;
  connectTimeoutMs: number;
  answerTimeoutMs: number;
};

/** An address of a name. */
export type Address = { address: string; family: number };

/** What may be replaced: how names are resolved, which addresses may be reached, who is trusted to sign certificates. */
export type FollowWorld = {
  resolve?: (hostname: string) => Promise<Address[]>;
  isAllowedAddress?: (address: string) => boolean;
  ca?: string;
  /** With which authorities TLS is made, where they are not the public ones. */
  secureContext?: SecureContext | undefined;
  /** Makes the connections to a goal in another way: by a proxy, which resolves names itself, and then the list alone holds. */
  agentFor?: ((goal: URL) => HttpAgent | undefined) | undefined;
};

/** What of the client's own request is for whoever has the file. */
const CONDITIONS = ['range', 'if-range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'];

/** The time to come back when a storage is throttled and does not name one, in ms. */
const THROTTLED_MS = 1000;

/** Why a connection is not made: the error of a look-up, which must not look like any other. */
class AddressRefused extends Error {}

/** Follows redirects of downloads; goes around all other layers, since what it does is no attempt at the upstream. */
export function withRedirects(config: FollowConfig, clock: Clock, world: FollowWorld = {}): Layer {
  const { isAllowedAddress = isPublicAddress, agentFor } = world;
  // Not kept: a stale connection would need a retry, and sessions of TLS are resumed without it.
  const agent = new Agent({
    keepAlive: false,
    ...(world.ca === undefined ? {} : { ca: world.ca }),
    ...(world.ca === undefined && world.secureContext ? { secureContext: world.secureContext } : {}),
  });
  const lookup = checkedLookup(world.resolve ?? ((hostname) => resolve(hostname, { all: true })), isAllowedAddress);
  const places = createPlaces(config.maxAtOnce, config.connectTimeoutMs, clock);

  const visit = (goal: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    let isConnected = false;
    let answer: IncomingMessage | undefined;
    const tunnels = agentFor?.(goal);
    const own = tunnels ? { agent: tunnels } : { agent, lookup };
    const outgoing = ask(goal, { method: 'GET', headers, ...own });
    const giveUp = () => outgoing.destroy(new GatewayError('UPSTREAM_TIMEOUT', { reason: 'the storage was silent' }));
    const leave = () =>
      outgoing.destroy(new GatewayError('CLIENT_GONE', { reason: 'left while a redirect was followed' }));
    let cancel = clock.after(config.connectTimeoutMs, giveUp);
    const end = () => {
      cancel();
      signal.removeEventListener('abort', leave);
    };
    const connected = () => {
      isConnected = true;
      cancel();
      cancel = clock.after(config.answerTimeoutMs, giveUp);
    };
    outgoing.once('socket', (socket) => {
      // A tunnel comes with its TLS done; to whom it leads, the proxy alone knows.
      if (tunnels) return connected();
      socket.once('connect', () => {
        // The last look: whatever became of the look-up, this is where the bytes would go.
        if (!isAllowedAddress(socket.remoteAddress ?? '')) outgoing.destroy(new AddressRefused());
      });
      socket.once('secureConnect', connected);
    });
    outgoing.once('response', (message) => {
      end();
      answer = message;
      resolve(message);
    });
    outgoing.on('error', (error) => {
      end();
      // Bytes behind the announced end: the length was a lie.
      if (answer && isUnreadable(error)) answer.destroy(error);
      reject(errorOf(error, goal, isConnected));
    });
    outgoing.once('close', () => {
      end();
      reject(errorOf(new Error('closed without an answer'), goal, isConnected));
    });
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    outgoing.end();
    return promise;
  };

  /** Goes from one goal to the next, until one answers; each is asked at most once. */
  const follow = async (from: IncomingMessage, base: URL, request: OutboundRequest): Promise<IncomingMessage> => {
    const headers = storageHeaders(request);
    const seen = new Set<string>();
    let [rawHeaders, here] = [from.rawHeaders, base];
    for (;;) {
      const found = goalOf(rawHeaders, here, config.hosts);
      if ('refused' in found) throw refused(found.refused);
      const { goal } = found;
      if (seen.has(goal.href)) throw refused('redirects in a circle');
      if (seen.size >= config.maxHops) throw refused(`more than ${config.maxHops} redirects`);
      seen.add(goal.href);
      const answer = await visit(goal, headers, request.signal);
      if (!isRedirect(answer.statusCode ?? 0)) return answer;
      answer.on('error', () => {}).destroy();
      [rawHeaders, here] = [answer.rawHeaders, goal];
    }
  };

  return (next) => async (request) => {
    const outcome = await next(request);
    if (!isDownload(request) || outcome.kind !== 'answer' || !isRedirect(outcome.status)) return outcome;
    skip(outcome.body, config.connectTimeoutMs, clock, outcome.release);
    const leave = await places.take(request.signal);
    const startedAt = clock.monotonic();
    try {
      const answer = await follow(outcome.body, new URL(request.path, config.url), request);
      answer.on('error', () => {}).once('close', leave);
      return outcomeOf(answer, storageHeaders(request), clock);
    } catch (error) {
      leave();
      throw error;
    } finally {
      request.trail.upstreamMs += clock.monotonic() - startedAt;
    }
  };
}

/** Nobody is sent elsewhere with what is no file. */
const isDownload = ({ method, turn }: OutboundRequest): boolean => method === 'GET' && turn.kind !== 'sibling';

function storageHeaders({ headers, ownConditions = false }: OutboundRequest): Record<string, string> {
  const own = { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': headers['user-agent'] ?? '' };
  // A validator of ours is for the upstream, which is asked who may see; of the storage, the bytes are wanted.
  if (ownConditions) return own;
  const theirs = CONDITIONS.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]] as const]));
  return { ...own, ...Object.fromEntries(theirs) };
}

/** What a storage's answer is to those who asked the upstream. */
function outcomeOf(answer: IncomingMessage, sent: Record<string, string>, clock: Clock): Outcome {
  const { statusCode: status = 0, headers } = answer;
  const isConditional = CONDITIONS.some((name) => name !== 'range' && sent[name] !== undefined);
  if (status === 200 || (status === 206 && sent['range'] !== undefined) || (status === 304 && isConditional)) {
    const release = () => {
      if (!answer.readableEnded) answer.destroy();
    };
    return { kind: 'answer', status, headers: asOurs(headers), body: answer, release };
  }
  answer.destroy();
  if ((status === 412 && isConditional) || (status === 416 && sent['range'] !== undefined)) {
    return { kind: 'refusal', status, headers, body: Buffer.alloc(0), error: undefined, description: undefined };
  }
  const reason = `where the redirect led, the answer was ${status}`;
  if (status !== 429 && status !== 503) throw refused(reason);
  throw new GatewayError('UPSTREAM_THROTTLED', {
    reason,
    retryAfterMs: readRetryAfterMs(headers, clock.now()) ?? THROTTLED_MS,
  });
}

/** What a storage says of keeping is meant for its signed address, which anybody may use; ours is for one reader. */
function asOurs({ expires: _expires, age: _age, ...headers }: IncomingHttpHeaders): IncomingHttpHeaders {
  const isNeverKept = /\bno-store\b/i.test(headers['cache-control'] ?? '');
  return { ...headers, 'cache-control': isNeverKept ? 'no-store' : 'private' };
}

const refused = (reason: string): GatewayError => new GatewayError('UPSTREAM_REDIRECT', { reason });

function errorOf(error: Error, { host }: URL, isConnected: boolean): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof AddressRefused) return refused(`a redirect to an address that is not public, of ${host}`);
  const code = isConnected ? 'UPSTREAM_BROKEN' : 'UPSTREAM_UNREACHABLE';
  return new GatewayError(code, { reason: `where the redirect led: ${host}`, cause: error });
}

/** Resolves a name for a connection, and hands over only what was looked at. One bad address spoils them all. */
function checkedLookup(
  resolve: (hostname: string) => Promise<Address[]>,
  isAllowed: (address: string) => boolean,
): LookupFunction {
  const addressesOf = async (hostname: string, family: unknown): Promise<[Address, ...Address[]]> => {
    const addresses = await resolve(hostname);
    if (!addresses.every(({ address }) => isAllowed(address))) throw new AddressRefused();
    const [first, ...more] = addresses.filter((found) => (family !== 4 && family !== 6) || found.family === family);
    if (!first) throw Object.assign(new Error('the name has no address'), { code: 'ENOTFOUND' });
    return [first, ...more];
  };
  const tell = async (...[hostname, { all = false, family }, done]: Parameters<LookupFunction>) => {
    const found = await addressesOf(hostname, family).catch((error: unknown) => error as Error);
    if (found instanceof Error) done(found, '');
    else if (all) done(null, found);
    else done(null, found[0].address, found[0].family);
  };
  return (...question) => void tell(...question);
}
