import type { Request } from 'express';
import { downloadHeaders } from '../upstream/headers.ts';
import { upstreamPath } from '../policy/target.ts';
import { asUnderstood, type HeaderValues } from '../policy/header-values.ts';
import { readWish } from '../policy/variant.ts';
import { authorize, type AuthorizePolicy } from './authorize.ts';
import { forgetIfGone } from './forget.ts';
import { forward } from './forward.ts';
import { type KeptDeps, serveKept } from './kept.ts';
import { limit } from './limit.ts';
import { open, type Opened } from './open.ts';
import { recognise } from './recognise.ts';
import { respondWithFile } from './respond.ts';
import type { Handler } from './serve.ts';
import { cacheStatus } from './told.ts';

/** What a download needs on its way; `isCaching`: whether anything is kept at all. */
export type DownloadDeps = KeptDeps & {
  authorize: AuthorizePolicy;
  isCaching: boolean;
  compat: { headerValues: HeaderValues };
};

/** GET and HEAD …/chatfiles/{uuid}: the file or its thumbnail. HEAD asks by GET, since the API documents no HEAD. */
export const download =
  (deps: DownloadDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'download';
    const opened = open(req);
    const { target } = opened;
    const { isSmall, variant } = readWish(
      asUnderstood(req.headers, target.query, deps.compat.headerValues),
      target.query,
    );
    const kind = isSmall ? 'thumbnail' : 'download';
    exchange.route = kind;
    const token = authorize(req, target, deps.authorize, exchange);
    const bearer = await recognise(deps.access, exchange, token);
    const asked = { file: target.file ?? '', secret: secretOf(req, opened) };
    const path = upstreamPath(target);
    const headers = downloadHeaders(req.headers, token.value);
    if (deps.isCaching && variant !== undefined && (variant !== 'original' || mayKeepOriginal(req, deps))) {
      const request = { bearer, token, asked, variant, path, headers: wholeOnly(headers) };
      return serveKept(request, req, res, exchange, deps);
    }
    await limit(req, res, exchange, token.value, deps.limit);
    if (deps.isCaching) exchange.cache = cacheStatus({ fwd: 'bypass' });
    const request = { method: 'GET', path, headers } as const;
    const { outcome, sentAt } = await forward(deps, request, { kind, bearer, asked }, exchange);
    forgetIfGone(outcome, { app: bearer.app, file: asked.file }, deps.cache);
    await respondWithFile({ outcome, sentAt, bearer, asked }, req, res, exchange, deps);
  };

/** The secret as it goes upstream: in the header or in the query; where both are, they are the same. */
const secretOf = (req: Request, { query }: Opened): string | undefined => {
  const header = req.headers['share-secret'];
  return typeof header === 'string' ? header : query.get('share-secret')?.[0];
};

const CONDITIONS = ['range', 'if-range', 'if-none-match', 'if-modified-since'];

/** What may be kept is asked for whole; parts and conditions are judged here. */
const wholeOnly = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !CONDITIONS.includes(name)));

/** A part of a file that may be large is better fetched alone. */
const mayKeepOriginal = (req: Request, { keep }: DownloadDeps): boolean =>
  keep.originalBytes > 0 && CONDITIONS.every((name) => req.headers[name] === undefined);
