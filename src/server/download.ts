import type { Request } from 'express';
import { downloadHeaders } from '../upstream/headers.ts';
import { inHeaders } from '../policy/header-form.ts';
import { upstreamPath } from '../policy/target.ts';
import { asUnderstood, type HeaderValues } from '../policy/header-values.ts';
import type { CacheKey } from '../cache/entry.ts';
import { readWish } from '../policy/variant.ts';
import { authorizeReader, type AuthorizePolicy } from './authorize.ts';
import { forgetIfGone } from './forget.ts';
import { forward } from './forward.ts';
import { type KeptDeps, serveKept } from './kept.ts';
import { limit } from './limit.ts';
import type { Witness } from './movement.ts';
import { open, readApp, readFile } from './open.ts';
import { recogniseReader } from './recognise.ts';
import { respond, respondWithFile } from './respond.ts';
import type { Handler } from './serve.ts';
import { cacheStatus } from './told.ts';

/** What a download needs on its way; `isCaching`: whether anything is kept at all. */
export type DownloadDeps = KeptDeps & {
  authorize: AuthorizePolicy;
  isCaching: boolean;
  witness: Witness;
  compat: { headerValues: HeaderValues };
};

/** GET and HEAD …/chatfiles/{uuid}: the file or its thumbnail. HEAD asks by GET, since the API documents no HEAD. */
export const download =
  (deps: DownloadDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'download';
    deps.witness.begin(exchange, { direction: 'down', app: readApp(req), file: readFile(req) });
    const { target, query: parameters } = open(req);
    const { fields, query, secret, isClear } = inHeaders(req.headers, target.query, deps.redirects.passes);
    const { isSmall, variant } = readWish(asUnderstood(fields, query, deps.compat.headerValues), query);
    const kind = isSmall ? 'thumbnail' : 'download';
    exchange.route = kind;
    const token = authorizeReader(req, target, parameters.get('share-secret')?.[0], deps.authorize, exchange);
    const asked = { file: target.file ?? '', secret: isClear ? secret : undefined };
    const bearer = await recogniseReader(deps.access, exchange, token, asked);
    const path = upstreamPath({ ...target, query });
    const headers = downloadHeaders(fields, bearer.token);
    const isOfOriginal = variant === 'original';
    if (
      deps.isCaching &&
      !bearer.isReported &&
      variant !== undefined &&
      isClear &&
      (!isOfOriginal || (await mayKeepOriginal(req, { app: bearer.app, file: asked.file, variant }, deps)))
    ) {
      const request = { bearer, asked, variant, path, headers: wholeOnly(headers) };
      return serveKept(request, req, res, exchange, deps);
    }
    await limit(req, res, exchange, bearer.token, deps.limit);
    if (deps.isCaching) exchange.cache = cacheStatus({ fwd: 'bypass' });
    const request = { method: 'GET', path, headers } as const;
    const { outcome, sentAt } = await forward(deps, request, { kind, bearer, ...(isClear ? { asked } : {}) }, exchange);
    forgetIfGone(outcome, bearer, asked.file, deps.cache);
    if (isClear) await respondWithFile({ outcome, sentAt, bearer, asked }, req, res, exchange, deps);
    else await respond(outcome, req, res, exchange, deps);
  };

const CONDITIONS = ['range', 'if-range', 'if-none-match', 'if-modified-since'];

/** What may be kept is asked for whole; parts and conditions are judged here. */
const wholeOnly = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !CONDITIONS.includes(name)));

/** A part of a file that may be large is better fetched alone, unless the whole is there already. */
const mayKeepOriginal = async (req: Request, key: CacheKey, { keep, cache }: DownloadDeps): Promise<boolean> =>
  keep.originalBytes > 0 &&
  (CONDITIONS.every((name) => req.headers[name] === undefined) || (await cache.get(key)) !== undefined);
