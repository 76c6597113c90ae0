/**
 * What only the operator may do on the second port: see what the cache holds, purge it, and have requests explained.
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
import type { Explain } from './explain-steps.ts';
import { only } from './only.ts';
import { readQuestion } from './question.ts';
import type { Recent } from './recent.ts';

/** What the operator is shown, and does. */
export type OperatorActs = {
  stats: () => { cache: CacheStats; access: AccessStats };
  /** Purges for the operator at this address. */
  purge: (selector: Selector, peer: string) => Promise<Purged>;
  explain: Explain;
  recent: Pick<Recent, 'find' | 'list'>;
};

/** The token, the names this port is reached by, and what there is to do; nothing before the gateway is open. */
export type OperatorDeps = {
  token: string | undefined;
  hosts: readonly string[];
  acts: () => OperatorActs | undefined;
  /** Told of whoever came with a wrong token. */
  tellGuess: (peer: string) => void;
};

/** The fields of a line by which lines can be asked for: `?decision=deny&route=upload&most=10`. */
const FILTERS = new Set(['app', 'client', 'decision', 'decisionReason', 'method', 'route', 'status']);
/** How many lines are told when nobody says how many. */
const LINES = 50;
/** What a question may weigh in bytes: more than any head that the gateway takes. */
const QUESTION_BYTES = 64 * 1024;

/**
 * The routes for the operator: `GET /cache` shows counters per tier, `DELETE /cache[/org/app[/file]]` purges; `GET
 * /explain[/id]` tells of requests that were, `POST /explain` of one that might be.
 */
export function createOperatorRoutes(deps: OperatorDeps): Router {
  const routes = express.Router({ caseSensitive: true, strict: true });
  routes.use(['/cache', '/explain'], requireOperator(deps));
  const act =
    (handle: (acts: OperatorActs, req: Request, res: Response) => unknown): RequestHandler =>
    (req, res) => {
      const acts = deps.acts();
      if (acts) return handle(acts, req, res);
      return res.status(503).setHeader('Retry-After', '1').json({ message: 'The gateway is still starting.' });
    };

  routes.get(
    '/cache',
    act(({ stats }, _req, res) => res.json(stats())),
  );
  const purge = (selectorOf: (req: Request) => Selector) =>
    act(async (acts, req, res) => {
      const selector = selectorOf(req);
      res.json({ purged: selector, ...(await acts.purge(selector, req.socket.remoteAddress ?? 'unknown')) });
    });
  routes.delete(
    '/cache',
    purge(() => ({})),
  );
  routes.delete(
    '/cache/:org/:app',
    purge((req) => ({ app: appOf(req) })),
  );
  routes.delete(
    '/cache/:org/:app/:file',
    purge((req) => ({ app: appOf(req), file: req.params['file'] as string })),
  );
  routes.all('/cache', only('GET, HEAD, DELETE'));
  routes.all(['/cache/:org/:app', '/cache/:org/:app/:file'], only('DELETE'));

  routes.get(
    '/explain',
    act(({ recent }, req, res) => {
      const { most, ...fields } = Object.fromEntries(new URL(req.url, 'http://localhost').searchParams);
      if (!Object.keys(fields).every((name) => FILTERS.has(name)) || !/^\d{1,4}$/.test(most ?? String(LINES))) {
        return res.status(400).json({ message: `The query may name most (a number), ${[...FILTERS].join(', ')}.` });
      }
      return res.json({ requests: recent.list(fields, Number(most ?? LINES)) });
    }),
  );
  routes.get(
    '/explain/:id',
    act(({ recent }, { params }, res) => {
      const found = recent.find(String(params['id']));
      if (found) res.json(found);
      else
        res.status(404).json({ message: 'No such request among the last ones of this replica; the log knows more.' });
    }),
  );
  routes.post(
    '/explain',
    express.json({ limit: QUESTION_BYTES, type: () => true, strict: false }),
    act(({ explain }, req, res) => {
      const question = readQuestion(req.body);
      if ('mistake' in question) res.status(400).json({ message: question.mistake });
      else res.json(explain(question));
    }),
  );
  routes.all('/explain', only('GET, HEAD, POST'));
  routes.all('/explain/:id', only('GET, HEAD'));
  return routes;
}

const appOf = ({ params }: Request): string => `${String(params['org'])}/${String(params['app'])}`;

function requireOperator({
  token,
  hosts,
  tellGuess,
}: Pick<OperatorDeps, 'token' | 'hosts' | 'tellGuess'>): RequestHandler {
  return (req, res, next) => {
    const refuse = (status: number, message: string) => res.status(status).json({ message });
    // HTTP/1.0 may do without a Host; its type does not say so.
    const host: string | undefined = req.hostname;
    if (!hosts.includes(host?.toLowerCase() ?? '')) {
      refuse(421, 'This port is not reached by that name. Name it in admin.hosts if it is yours.');
    } else if (token === undefined) {
      refuse(403, 'There is no operator yet: set admin.token, and send it as a Bearer token.');
    } else if (!isSame(/^bearer +(.*)$/i.exec(req.headers.authorization ?? '')?.[1], token)) {
      if (req.headers.authorization !== undefined) tellGuess(req.socket.remoteAddress ?? 'unknown');
      res.setHeader('WWW-Authenticate', 'Bearer');
      refuse(401, "Send the operator's token (admin.token) as a Bearer token.");
    } else next();
  };
}

/** Compares in a time that tells nothing of either. */
const isSame = (given: string | undefined, wanted: string): boolean =>
  timingSafeEqual(hash('sha256', given ?? '', 'buffer'), hash('sha256', wanted, 'buffer'));
