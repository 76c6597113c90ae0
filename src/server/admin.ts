import express, { type ErrorRequestHandler, type Express } from 'express';
import helmet from 'helmet';
import { createOperatorRoutes, type OperatorDeps } from './operator.ts';

/** What the second port tells: whether this replica takes requests, and its metrics; and what the operator may do there. */
export type AdminDeps = OperatorDeps & { isReady: () => boolean; metrics: Scrape };

/** What a scraper of Prometheus gets. */
export type Scrape = () => Promise<{ contentType: string; text: string }>;

/** The second port: `/livez` says that the event loop turns, and nothing else; `/readyz` whether to send requests here. */
export function createAdmin({ isReady, metrics, ...operator }: AdminDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(helmet());
  app.get('/livez', (_req, res) => {
    res.type('text/plain').send('alive\n');
  });
  app.get('/readyz', (_req, res) => {
    const ready = isReady();
    res
      .status(ready ? 200 : 503)
      .type('text/plain')
      .send(ready ? 'ready\n' : 'draining\n');
  });
  app.get('/metrics', async (_req, res) => {
    const { contentType, text } = await metrics();
    res.set({ 'Content-Type': contentType, 'Cache-Control': 'no-store' }).end(text);
  });
  app.use(createOperatorRoutes(operator));
  app.use(refuseBroken);
  return app;
}

/** Express's own handler of errors would show their stacks. It knows this one by its four parameters. */
const refuseBroken: ErrorRequestHandler = (error: { status?: number }, _req, res, _next) => {
  const status = error.status ?? 500;
  res.status(status).json({ message: status < 500 ? 'The request cannot be read.' : 'The gateway failed.' });
};
