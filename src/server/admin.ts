import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Health } from '../health.ts';
import type { AdminConfig } from './config.ts';
import { only } from './only.ts';
import { createOperatorRoutes, type OperatorDeps } from './operator.ts';
import { createProbes } from './probes.ts';

/** What the second port tells: how the gateway is, its metrics; and, once it is open, what the operator may see and do there. */
export type AdminDeps = Pick<OperatorDeps, 'token' | 'hosts' | 'acts' | 'tellGuess'> & {
  health: Pick<Health, 'tell'>;
  metrics: Scrape;
};

/** What a scraper of Prometheus gets. */
export type Scrape = () => Promise<{ contentType: string; text: string }>;

/**
 * The second port: probes and metrics are for everybody, whatever shows or changes more is the operator's. What is no
 * path of it, or asked by another method, is answered with what there is.
 */
export function createAdmin({ health, metrics, ...operator }: AdminDeps): Express {
  const app = express();
  // Should an error ever come past the last handler, Express must not show its stack.
  app.set('env', 'production');
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.use(helmet());
  app.use((_req, res, next) => {
    res.setHeader('Cache-Control', 'no-store');
    next();
  });
  app.use(createProbes(health));
  app.get('/metrics', async (_req, res) => {
    const { contentType, text } = await metrics();
    res.set('Content-Type', contentType).end(text);
  });
  app.all('/metrics', only('GET, HEAD'));
  app.use(createOperatorRoutes(operator));
  app.use(refuseUnknown);
  app.use(refuseBroken);
  return app;
}

const PATHS = [
  'GET /livez',
  'GET /readyz',
  'GET /startupz',
  'GET /metrics',
  'GET /cache',
  'DELETE /cache[/{org}/{app}[/{uuid}]]',
  'GET /explain[/{requestId}]',
  'POST /explain',
];

const refuseUnknown: RequestHandler = (_req, res) => {
  res.status(404).json({ message: 'There is no such path on this port.', paths: PATHS });
};

/** Express's own handler of errors would show their stacks. It knows this one by its four parameters. */
const refuseBroken: ErrorRequestHandler = (error: { status?: number; type?: string }, _req, res, _next) => {
  const status = error.status ?? 500;
  const message =
    error.type === 'entity.parse.failed'
      ? 'The body is not JSON.'
      : error.type === 'entity.too.large'
        ? 'The body is too large.'
        : status < 500
          ? 'The request cannot be read.'
          : 'The gateway failed.';
  res.status(status).json({ message });
};

/** Bounds of this port, in ms: whoever hangs on it must not be able to keep the probes from it. */
const HEAD_MS = 5000;
const REQUEST_MS = 30_000;
const MAX_CONNECTIONS = 1000;
/** How often late heads are looked for, and how many connections may wait for one at once: of more, the oldest goes. */
const CHECK_MS = 1000;
const MAX_HEADLESS = 500;

/** The HTTP server of the second port. */
export function createAdminServer(app: RequestListener): Server {
  const times = { headersTimeout: HEAD_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: HEAD_MS };
  const server = createServer({ ...times, connectionsCheckingInterval: CHECK_MS }, app);
  const headless = new Set<Socket>();
  server.on('connection', (socket) => {
    headless.add(socket);
    socket.once('close', () => headless.delete(socket));
    const [oldest] = headless;
    if (headless.size > MAX_HEADLESS) oldest?.destroy();
  });
  server.on('request', ({ socket }) => headless.delete(socket));
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = REQUEST_MS;
  return server;
}

/** The names by which the second port is reached. */
export const hostsOf = ({ host, hosts }: Pick<AdminConfig, 'host' | 'hosts'>): string[] =>
  ['localhost', '127.0.0.1', '[::1]', host, ...hosts].map((name) => name.toLowerCase());
