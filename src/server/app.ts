import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import express, { type Express, type Request, type Response } from 'express';
import helmet from 'helmet';
import { GatewayError } from '../errors.ts';
import { type CorsConfig, createCors } from './cors.ts';
import { download, type DownloadDeps } from './download.ts';
import { open } from './open.ts';
import { type Handler, serve, type ServeDeps } from './serve.ts';
import { upload, type UploadDeps } from './upload.ts';

/** What the routes need, and which peers may say whom they speak for (Express's `trust proxy`: addresses or a hop count). */
export type AppDeps = ServeDeps & UploadDeps & DownloadDeps & { trustedProxies: string[] | number; cors: CorsConfig };

/** The headers of every answer: what users upload must never run or be framed in this origin. */
const securityHeaders = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], sandbox: [], frameAncestors: ["'none'"] },
  },
  // Pictures are shown on the pages of other origins; that is what they are for.
  crossOriginResourcePolicy: { policy: 'cross-origin' },
  // TLS ends in front of the gateway, where alone it can be promised for the name.
  strictTransportSecurity: false,
});

/** The same fields, as name and value, for answers that are written at once… */
export const SECURITY_FIELDS: readonly (readonly [string, string])[] = fieldsOf(securityHeaders);

/** …and as lines, for those that are written without a response object. */
export const SECURITY_HEADERS: readonly string[] = SECURITY_FIELDS.map(([name, value]) => `${name}: ${value}`);

/** The route table, read from top to bottom. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  // Should an error ever come past `serve`, Express must not show its stack.
  app.set('env', 'production');
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.set('trust proxy', deps.trustedProxies);
  app.use(securityHeaders);
  const cors = createCors(deps.cors);
  if (cors) app.use(cors.fields);

  const uploads = '/:org/:app/chatfiles';
  const file = '/:org/:app/chatfiles/:file';
  app.post(uploads, serve(deps, upload(deps)));
  app.get(file, serve(deps, download(deps)));
  if (cors) app.options([uploads, file], serve(deps, cors.preflight));
  app.all(uploads, serve(deps, refuseMethod('POST')));
  app.all(file, serve(deps, refuseMethod('GET, HEAD')));
  app.use(serve(deps, refuseTarget));
  return app;
}

const refuseMethod =
  (allow: string): Handler =>
  (req, _res, exchange) => {
    open(req);
    exchange.allow = allow;
    throw new GatewayError('METHOD_NOT_ALLOWED', { reason: `allowed here: ${allow}` });
  };

/** Whatever has no route has no target either: opening it says why. */
const refuseTarget: Handler = (req) => {
  open(req);
  throw new GatewayError('RESOURCE_UNKNOWN');
};

/** The fields that pages of other origins need, on an answer to a request that names no origin. */
export const corsFields = (config: CorsConfig): [string, string][] => {
  const cors = createCors(config);
  return cors ? fieldsOf((req, res) => cors.fields(req as Request, res as Response, () => {})) : [];
};

/** Lets a middleware write to a response that only listens, so that it stays the one source of these headers. */
function fieldsOf(
  middleware: (req: IncomingMessage, res: ServerResponse, next: () => void) => unknown,
): [string, string][] {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  middleware(response.req, response, () => {});
  return Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]);
}
