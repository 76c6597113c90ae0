/**
 * The edge of the gateway: the HTTP server, and what is decided before Express sees a request.
 *
 * Express matches routes on a decoded path, in any spelling. So the raw target is read here by one strict pattern, and
 * Express is only ever shown the canonical path rebuilt from it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '../errors.ts';
import { type Denial } from '../policy/decision.ts';
import { checkFraming } from '../policy/head.ts';
import { readTarget, type Target } from '../policy/target.ts';

/** Bounds of the server: bytes of a head, ms for a head, ms for a whole request, ms a connection may idle, connections at once. */
export type EdgeLimits = {
  headTimeoutMs: number;
  bodyTotalMs: number;
  keepAliveMs: number;
  maxConnections: number;
};

const MAX_HEAD_BYTES = 16 * 1024;

type Arrival = { reading: Target | Denial; expectsContinue: boolean };
const arrivals = new WeakMap<IncomingMessage, Arrival>();

/** What was read from a request's raw target and framing, before Express saw it. */
export const readingOf = (req: IncomingMessage): Target | Denial =>
  arrivals.get(req)?.reading ?? {
    allowed: false,
    code: 'RESOURCE_UNKNOWN',
    reason: 'the request did not come through the edge',
  };

/** Whether the client waits for `100 Continue` before it sends its body. */
export const expectsContinue = (req: IncomingMessage): boolean => arrivals.get(req)?.expectsContinue ?? false;

/** Lets a client that waits send its body; a no-op for all others. */
export function letContinue(req: IncomingMessage, res: ServerResponse): void {
  const arrival = arrivals.get(req);
  if (!arrival?.expectsContinue) return;
  arrival.expectsContinue = false;
  res.writeContinue();
}

/** Makes the HTTP server in front of an application; `refuse` writes the answer to what could not even be parsed. */
export function createEdge(
  app: (req: IncomingMessage, res: ServerResponse) => void,
  limits: EdgeLimits,
  refuse: (code: ErrorCode, socket: Duplex) => void,
): Server {
  // After bad framing nothing more on the connection is believed: not even requests parsed before it could be closed.
  const poisoned = new WeakSet<Duplex>();

  const arrive = (req: IncomingMessage, res: ServerResponse, waits: boolean) => {
    if (poisoned.has(req.socket)) return;
    const framing = checkFraming(req);
    if (!framing.allowed) {
      poisoned.add(req.socket);
      res.setHeader('Connection', 'close');
    }
    const reading = framing.allowed ? readTarget(req.url ?? '') : framing;
    arrivals.set(req, { reading, expectsContinue: waits });
    req.url = canonicalPath(reading);
    app(req, res);
  };

  const server = createServer({
    maxHeaderSize: MAX_HEAD_BYTES,
    headersTimeout: limits.headTimeoutMs,
    // A backstop only: bodies have deadlines of their own, which answer in Easemob's words.
    requestTimeout: limits.bodyTotalMs + limits.headTimeoutMs,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: limits.keepAliveMs,
    // Judged in policy/head.ts, which can say so in JSON.
    requireHostHeader: false,
    noDelay: true,
  });
  // Node drops what is above its count without a word; the size of the head bounds it, and policy/head.ts counts.
  server.maxHeadersCount = 0;
  server.maxConnections = limits.maxConnections;
  server.on('request', (req, res) => arrive(req, res, false));
  server.on('checkContinue', (req, res) => arrive(req, res, true));
  server.on('checkExpectation', (req, res) => arrive(req, res, true));
  server.on('connect', (_req, socket) => refuse('METHOD_NOT_ALLOWED', socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(codeOf(error), socket));
  return server;
}

const canonicalPath = (reading: Target | Denial): string => {
  if ('allowed' in reading) return '/';
  return `/${reading.org}/${reading.app}/chatfiles${reading.file === undefined ? '' : `/${reading.file}`}`;
};

function codeOf({ code }: NodeJS.ErrnoException): ErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'HEAD_TOO_LARGE';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'REQUEST_TOO_SLOW';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'CLIENT_GONE';
  return 'REQUEST_MALFORMED';
}
