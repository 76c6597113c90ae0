import type { IncomingMessage } from 'node:http';
import { upstreamPath } from '../policy/target.ts';
import { downloadHeaders } from '../upstream/headers.ts';
import { authorize, type AuthorizePolicy } from './authorize.ts';
import { forward, type ForwardDeps } from './forward.ts';
import { limit, type LimitRules } from './limit.ts';
import { open, type Opened } from './open.ts';
import { respond, type RespondDeps } from './respond.ts';
import type { Handler } from './serve.ts';

/** What a download needs on its way. */
export type DownloadDeps = RespondDeps & ForwardDeps & { authorize: AuthorizePolicy; limit: LimitRules };

/** GET and HEAD …/chatfiles/{uuid}: the file or its thumbnail, streamed. HEAD asks by GET, since the API documents no HEAD. */
export const download =
  (deps: DownloadDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'download';
    const opened = open(req);
    const kind = isThumbnail(req, opened) ? 'thumbnail' : 'download';
    exchange.route = kind;
    const token = authorize(req, opened.target, deps.authorize, exchange);
    await limit(req, res, exchange, token.value, deps.limit);
    const request = {
      method: 'GET',
      path: upstreamPath(opened.target),
      headers: downloadHeaders(req.headers, token.value),
    } as const;
    const outcome = await forward(deps, request, kind, token.value, exchange);
    await respond(outcome, req, res, exchange, deps);
  };

/** Whether a small picture is asked for: by the header's presence (Easemob docs), or in the query as web SDKs do. */
const isThumbnail = (req: IncomingMessage, { query }: Opened): boolean =>
  req.headers['thumbnail'] !== undefined ||
  query.get('thumbnail')?.[0] === 'true' ||
  query.get('vframe')?.[0] === 'true' ||
  query.get('size')?.[0] === 'small';
