/**
 * The probes of the second port, for everybody who reaches it.
 *
 * `/livez` says that the event loop turns, and nothing else: a restart mends no Redis. `/readyz` (also `/healthz`) says
 * whether to send requests here; degraded is ready, and says why. `/startupz` says whether the start is over.
 */
import express, { type Request, type Response, type Router } from 'express';
import type { Check, Health, Told } from '../health.ts';
import { only } from './only.ts';

/** The routes of the probes. Each answers in text, one line for each check, or in JSON to who accepts that. */
export function createProbes(health: Pick<Health, 'tell'>): Router {
  const routes = express.Router({ caseSensitive: true, strict: true });
  routes.get('/livez', (_req, res) => void res.type('text/plain').send('alive\n'));
  const ready = (req: Request, res: Response) => {
    const told = health.tell();
    tell(req, res, told, told.isReady);
  };
  routes.get('/readyz', ready);
  routes.get('/healthz', ready);
  routes.get('/startupz', (req, res) => {
    const told = health.tell();
    tell(req, res, { ...told, status: told.hasStarted ? 'started' : 'starting' }, told.hasStarted);
  });
  for (const path of ['/livez', '/readyz', '/healthz', '/startupz']) routes.all(path, only('GET, HEAD'));
  return routes;
}

type Shown = Omit<Told, 'status'> & { status: Told['status'] | 'started' };

function tell(req: Request, res: Response, { status, isReady, checks }: Shown, isWell: boolean): void {
  res.status(isWell ? 200 : 503);
  if (!isWell) res.setHeader('Retry-After', '1');
  if (req.accepts(['text/plain', 'application/json']) === 'application/json') {
    res.json({ status, ready: isReady, checks: checks.map((check) => ({ ...check, since: iso(check.since) })) });
  } else res.type('text/plain').send([status, ...checks.map(lineOf), ''].join('\n'));
}

const lineOf = ({ name, is, because, since }: Check): string =>
  `${name}: ${is} since ${iso(since)}${because === undefined ? '' : `: ${because.replaceAll(/\s*\n\s*/g, '; ')}`}`;

const iso = (time: number): string => new Date(time).toISOString();
