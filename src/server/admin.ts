import express, { type Express } from 'express';
import helmet from 'helmet';

/** What the operator's port tells: whether this replica takes requests. */
export type AdminDeps = { isReady: () => boolean };

/** The second port: `/livez` says that the event loop turns, and nothing else; `/readyz` whether to send requests here. */
export function createAdmin({ isReady }: AdminDeps): Express {
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
  return app;
}
