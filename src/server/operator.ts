/**
 * What only the operator may do on the second port: see what the cache holds, and purge it.
 *
 * It takes the operator's token, and a Host that is this port's own: a page in the operator's browser can reach a port on
 * loopback, by a name of its own that it points there, but knows no token.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import type { AccessStats } from '../access/access.ts';
import type { CacheStats } from '../cache/cache.ts';
import type { Selector } from '../cache/entry.ts';
import type { Purged } from '../cache/purges.ts';

/** What the operator's routes need: the token, the names this port is reached by, and what they show and do. */
export type OperatorDeps = {
  token: string | undefined;
  hosts: readonly string[];
  stats: () => { cache: CacheStats; access: AccessStats };
  purge: (selector: Selector) => Promise<Purged>;
};

/** The routes for the operator: `GET /cache` shows counters per tier, `DELETE /cache[/org/app[/file]]` purges. */
export function createOperatorRoutes(deps: OperatorDeps): Router {
  const routes = express.Router({ caseSensitive: true, strict: true });
  routes.use('/cache', requireOperator(deps));
  routes.get('/cache', (_req, res) => {
    res.json(deps.stats());
  });
  const purge = async (selector: Selector, res: Response) => {
    res.json({ purged: selector, ...(await deps.purge(selector)) });
  };
  routes.delete('/cache', (_req, res) => purge({}, res));
  routes.delete('/cache/:org/:app', (req, res) => purge({ app: appOf(req) }, res));
  routes.delete('/cache/:org/:app/:file', (req, res) => {
    return purge({ app: appOf(req), file: req.params['file'] ?? '' }, res);
  });
  return routes;
}

const appOf = ({ params }: Request): string => `${String(params['org'])}/${String(params['app'])}`;

function requireOperator({ token, hosts }: OperatorDeps): RequestHandler {
  return (req, res, next) => {
    const refuse = (status: number, message: string) => res.status(status).json({ message });
    // HTTP/1.0 may do without a Host; its type does not say so.
    const host: string | undefined = req.hostname;
    if (!hosts.includes(host?.toLowerCase() ?? '')) {
      refuse(421, 'This port is not reached by that name. Name it in admin.hosts if it is yours.');
    } else if (token === undefined) {
      refuse(403, 'There is no operator yet: set admin.token, and send it as a Bearer token.');
    } else if (!isSame(req.headers.authorization, `Bearer ${token}`)) {
      res.setHeader('WWW-Authenticate', 'Bearer');
      refuse(401, "Send the operator's token (admin.token) as a Bearer token.");
    } else next();
  };
}

/** Compares in a time that tells nothing of either. */
const isSame = (given: string | undefined, wanted: string): boolean =>
  timingSafeEqual(hash('sha256', given ?? '', 'buffer'), hash('sha256', wanted, 'buffer'));
