import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import express, { type Express, type Request, type Response } from 'express';
import helmet from 'helmet';
import { GatewayError } from '../errors.ts';
import type { SiblingKind } from '../policy/passthrough.ts';
import { type CorsConfig, createCors } from './cors.ts';
import { download, type DownloadDeps } from './download.ts';
import { siblingRoute } from './edge.ts';
import { login } from './login.ts';
import { METHODS_BESIDE } from './methods.ts';
import { open, openAny } from './open.ts';
import { beginParts, endParts, sendPart } from './part-upload.ts';
import { type Handler, serve, type ServeDeps } from './serve.ts';
import { sharedFile, type SharedFileDeps, shareFile } from './shared-file.ts';
import { sibling } from './sibling.ts';
import { upload, type UploadDeps } from './upload.ts';

/**
 * What the routes need, which peers may say whom they speak for (Express's `trust proxy`: addresses or a hop count), and
 * how long browsers are told to come by https only, 0 being nothing.
 */
export type AppDeps = ServeDeps &
  UploadDeps &
  DownloadDeps &
  SharedFileDeps & { trustedProxies: string[] | number; cors: CorsConfig; hstsSeconds: number };

/**
 * The headers of every answer: what users upload must never run or be framed in this origin. That browsers shall come by
 * https only is said where TLS ends here; elsewhere it ends in front of the gateway, where alone it can be promised.
 */
const securityHeaders = (hstsSeconds: number) =>
  helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], sandbox: [], frameAncestors: ["'none'"] },
    },
    // Pictures are shown on the pages of other origins; that is what they are for.
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    strictTransportSecurity: hstsSeconds > 0 && { maxAge: hstsSeconds, includeSubDomains: false },
  });

/** The same fields, as name and value, for answers that are written without Express. */
export const securityFields = (hstsSeconds: number): readonly (readonly [string, string])[] =>
  fieldsOf(securityHeaders(hstsSeconds));

const LOGIN = siblingRoute('token');
const SHARE_FILES = siblingRoute('share-files');
const SHARE_FILE = siblingRoute('share-file');
const PART_UPLOADS = siblingRoute('part-uploads');
const PART_UPLOAD = siblingRoute('part-upload');
const PARTS = siblingRoute('parts');
const OTHER = siblingRoute('other');

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
  app.use(securityHeaders(deps.hstsSeconds));
  const cors = createCors(deps.cors);
  if (cors) app.use(cors.fields);

  const uploads = '/:org/:app/chatfiles';
  const file = '/:org/:app/chatfiles/:file';
  app.post(uploads, serve(deps, upload(deps)));
  app.get(file, serve(deps, download(deps)));
  // What the operator has named beside them, by its kind: the edge shows nothing else of its path.
  const other = serve(deps, sibling(deps));
  app.post(LOGIN, serve(deps, login(deps)));
  app.post(SHARE_FILES, serve(deps, shareFile(deps)));
  app.get(SHARE_FILES, other);
  app.get(SHARE_FILE, serve(deps, sharedFile(deps)));
  app.delete(SHARE_FILE, other);
  app.post(PART_UPLOADS, serve(deps, beginParts(deps)));
  app.put(PART_UPLOAD, serve(deps, sendPart(deps)));
  app.post(PART_UPLOAD, serve(deps, endParts(deps)));
  app.delete(PART_UPLOAD, serve(deps, endParts(deps)));
  app.get(PARTS, other);
  app.get(OTHER, other);
  app.post(OTHER, other);
  app.put(OTHER, other);
  app.delete(OTHER, other);
  if (cors) app.options('/{*any}', serve(deps, cors.preflight));
  app.all(uploads, serve(deps, refuseMethod('POST')));
  app.all(file, serve(deps, refuseMethod('GET, HEAD')));
  for (const [kind, methods] of Object.entries(METHODS_BESIDE)) {
    app.all(siblingRoute(kind as SiblingKind), serve(deps, refuseMethod(methods)));
  }
  app.use(serve(deps, refuseTarget));
  return app;
}

const refuseMethod =
  (allow: string): Handler =>
  (req, _res, exchange) => {
    openAny(req);
    exchange.allow = allow;
    throw new GatewayError('METHOD_NOT_ALLOWED', { reason: `allowed here: ${allow}` });
  };

/** Whatever has no route has no target either: opening it says why. */
const refuseTarget: Handler = (req) => {
  open(req);
  throw new GatewayError('RESOURCE_UNKNOWN');
};

/** The fields that pages of other origins need, on an answer to a request of this origin, or of none that is named. */
export const corsFields = (config: CorsConfig, origin?: string): [string, string][] => {
  const cors = createCors(config);
  return cors ? fieldsOf((req, res) => cors.fields(req as Request, res as Response, () => {}), origin) : [];
};

/** Lets a middleware write to a response that only listens, so that it stays the one source of these headers. */
function fieldsOf(
  middleware: (req: IncomingMessage, res: ServerResponse, next: () => void) => unknown,
  origin?: string,
): [string, string][] {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  if (origin !== undefined) response.req.headers.origin = origin;
  middleware(response.req, response, () => {});
  return Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]);
}
