/**
 * The short way for what is in memory and may be seen: most requests of a busy day, answered before Express.
 *
 * It is no second rule. Each question is asked of the same policy, the same `access` and the same cache as on the long
 * way, and at the first doubt (a condition, a range, a query with more in it than a secret and a form that is kept, a page
 * of another origin, a bearer who has to be asked about, anything refused) it steps aside, and the long way begins from
 * the beginning and says why.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Access } from '../access/access.ts';
import type { Cache } from '../cache/cache.ts';
import type { Entry } from '../cache/entry.ts';
import type { Clock } from '../clock.ts';
import { checkHead } from '../policy/head.ts';
import { inHeaders } from '../policy/header-form.ts';
import { checkQuery, readQuery } from '../policy/query.ts';
import { checkSecret } from '../policy/secret.ts';
import { checkToken, readToken } from '../policy/token.ts';
import { asUnderstood, type HeaderValues } from '../policy/header-values.ts';
import { readWish } from '../policy/variant.ts';
import { KEPT_FIELDS, VARY } from './answer-kept.ts';
import { type AuthorizePolicy, mayComeWithoutToken } from './authorize.ts';
import { addressOf, ignoredField, type Trusts } from './client.ts';
import { clientCertOf } from './client-certificate.ts';
import { readingOf } from './edge.ts';
import type { Exchange } from './exchange.ts';
import type { LimitRules } from './limit.ts';
import { seeAnswer, type Witness } from './movement.ts';
import type { PassRules } from './pass-redirect.ts';
import type { ServeDeps } from './serve.ts';
import { summarize } from './summarize.ts';
import { cacheStatus } from './told.ts';

/** What the short way asks, tells and needs. */
export type HotDeps = Pick<ServeDeps, 'record' | 'tracing'> & {
  clock: Clock;
  access: Access;
  cache: Cache;
  authorize: AuthorizePolicy;
  limit: Pick<LimitRules, 'local' | 'addressOf'>;
  trusts: Trusts;
  redirects: Pick<PassRules, 'passes'>;
  compat: { headerValues: HeaderValues };
  /** Fields of every answer, as name and value. */
  commonFields: readonly (readonly [string, string])[];
  witness: Witness;
};

/** Answers a request if it can be answered at once from memory; else the long way does. */
export type Hot = (req: IncomingMessage, res: ServerResponse) => void;

const HIT = cacheStatus({ hit: 'memory' });
/** Fields with which a request asks for something that the long way has to think about. */
const LONG_WAY = ['origin', 'range', 'if-none-match', 'if-modified-since', 'transfer-encoding', 'expect'] as const;

/** The longest query that is looked at here: a secret and a form. */
const MAX_QUERY = 1024;

/** Opens the short way in front of the long one. */
export function createHot(deps: HotDeps, longWay: Hot): Hot {
  const { clock, access, cache, authorize, limit } = deps;
  const heads = new WeakMap<Entry, string[]>();

  const headOf = (entry: Entry): string[] => {
    const known = heads.get(entry);
    if (known) return known;
    const fields = KEPT_FIELDS.flatMap((name) => (entry.fields[name] === undefined ? [] : [name, entry.fields[name]]));
    const head = [
      ...deps.commonFields.flat(),
      ...fields,
      'Content-Length',
      String(entry.body.length),
      'Cache-Control',
      'private',
      'Accept-Ranges',
      'bytes',
      'Vary',
      VARY,
      'Cache-Status',
      HIT,
    ];
    heads.set(entry, head);
    return head;
  };

  const identify = (authorization: string | undefined, app: string, now: number) => {
    const token = readToken(authorization);
    if ('allowed' in token || (authorize.checkExpiry && !checkToken(token, now).allowed)) return undefined;
    return access.identify(app, token);
  };

  const answer = async (req: IncomingMessage, res: ServerResponse, exchange: Exchange, entry: Entry) => {
    const { allowed } = await limit.local.consume(limit.addressOf(exchange.client));
    if (!allowed) return longWay(req, res);
    const age = Math.max(0, Math.floor((clock.now() - entry.storedAt) / 1000));
    res.writeHead(200, [...headOf(entry), 'Age', String(age), 'X-Request-Id', exchange.id]);
    res.once('close', () => {
      const summary = summarize(req, res, exchange, clock.now());
      exchange.trace.end(summary);
      deps.record(summary);
      deps.witness.end(req, exchange, summary);
    });
    exchange.bytesOut = entry.body.length;
    seeAnswer(exchange, entry.body);
    res.end(entry.body);
  };

  const find = (req: IncomingMessage): { exchange: Exchange; entry: Entry } | undefined => {
    const target = readingOf(req);
    if ('allowed' in target || target.file === undefined || target.query.length > MAX_QUERY) return undefined;
    const { headers, socket } = req;
    const { org, file } = target;
    const app = `${org}/${target.app}`;
    const { fields, query, secret, isClear } = inHeaders(headers, target.query, deps.redirects.passes);
    const { isSmall, variant } = readWish(asUnderstood(fields, query, deps.compat.headerValues), query);
    if (variant === undefined || !isClear || LONG_WAY.some((name) => headers[name] !== undefined)) return undefined;
    const entry = cache.peekMemory({ app, file, variant });
    if (!entry) return undefined;
    const { method = '', httpVersion, rawHeaders } = req;
    const parameters = readQuery(target.query);
    const inQuery = parameters?.get('share-secret')?.[0];
    if (!checkHead({ method, httpVersion, rawHeaders }).allowed || !checkQuery(parameters).allowed) return undefined;
    const inHeader = headers['share-secret'];
    if (Array.isArray(inHeader) || !checkSecret(inHeader, inQuery).allowed) return undefined;
    if (!authorize.isAllowedDestination(org, target.app).allowed) return undefined;
    const startedAt = clock.now();
    const asked = { file, secret };
    const bearer = mayComeWithoutToken(headers, inQuery, authorize)
      ? access.identifyNobody(app, asked)
      : identify(headers.authorization, app, startedAt);
    if (!bearer) return undefined;
    const sight = access.maySee(bearer, asked);
    if (!sight.allowed || sight.usedGrace) return undefined;
    const peer = socket.remoteAddress ?? '';
    if (ignoredField(headers, deps.trusts(peer, 0)) !== undefined) return undefined;
    const id = randomUUID();
    const exchange: Exchange = {
      id,
      startedAt,
      signal: NEVER_LEAVES,
      client: addressOf(req, deps.trusts),
      clientCert: clientCertOf(socket),
      trail: { attempts: 0, queuedMs: 0, upstreamMs: 0 },
      trace: deps.tracing.begin(headers, id),
      route: isSmall ? 'thumbnail' : 'download',
      app,
      cache: HIT,
      bytesIn: 0,
      bytesOut: 0,
    };
    deps.witness.begin(exchange, { direction: 'down', app, file });
    return { exchange, entry };
  };

  return (req, res) => {
    const found = req.method === 'GET' && !deps.witness.isBlind ? find(req) : undefined;
    if (found) answer(req, res, found.exchange, found.entry).catch(() => res.destroy());
    else longWay(req, res);
  };
}

/** An answer that is out in one go needs nobody to tell whether its client is still there. */
const NEVER_LEAVES = new AbortController().signal;
