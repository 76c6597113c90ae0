/**
 * The edge of the gateway: the HTTP server, and what is decided before Express sees a request.
 *
 * Express matches routes on a decoded path, in any spelling. So the raw target is read here by one strict pattern, and
 * Express is only ever shown the canonical path rebuilt from it.
 */
import { METHODS, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { type ErrorCode, GatewayError } from '../errors.ts';
import { type Denial } from '../policy/decision.ts';
import { checkFraming } from '../policy/head.ts';
import type { Passthrough, Sibling, SiblingKind } from '../policy/passthrough.ts';
import { readTarget, type Target } from '../policy/target.ts';
import { Line } from './line.ts';
import type { UnderWay } from './under-way.ts';
import { createListener, type Entrance } from './listener.ts';

/** Bounds of the server: ms for a head, in which something must move, for a whole request, between requests; connections. */
export type EdgeLimits = {
  headTimeoutMs: number;
  bodyIdleMs: number;
  bodyTotalMs: number;
  keepAliveMs: number;
  maxConnections: number;
  /** Bytes still read behind what could not be parsed. */
  discardBytes: number;
};

const MAX_HEAD_BYTES = 16 * 1024;

/** How often Node looks for heads and bodies that are late. */
const CHECK_MS = 1000;

/** Why most signals abort; made once, since a reason of its own each time would cost a stack trace. */
const LEFT = new Error('the client left');

type Arrival = {
  reading: Target | Denial;
  sibling: Sibling | undefined;
  expectsContinue: boolean;
  gone: AbortController;
};
const arrivals = new WeakMap<IncomingMessage, Arrival>();

/** What was read from a request's raw target and framing, before Express saw it. */
export const readingOf = (req: IncomingMessage): Target | Denial =>
  arrivals.get(req)?.reading ?? {
    allowed: false,
    code: 'RESOURCE_UNKNOWN',
    reason: 'the request did not come through the edge',
  };

/** The path beside the files that a request is for, if it is one that the operator has named. */
export const siblingOf = (req: IncomingMessage): Sibling | undefined => arrivals.get(req)?.sibling;

/** Aborted when the client has gone; with a GatewayError as its reason when the rest of the request cannot be read. */
export const signalOf = (req: IncomingMessage): AbortSignal =>
  (arrivals.get(req)?.gone ?? new AbortController()).signal;

/** Whether the client waits for `100 Continue` before it sends its body. */
export const expectsContinue = (req: IncomingMessage): boolean => arrivals.get(req)?.expectsContinue ?? false;

/** Lets a client that waits send its body; a no-op for all others. */
export function letContinue(req: IncomingMessage, res: ServerResponse): void {
  const arrival = arrivals.get(req);
  if (!arrival?.expectsContinue) return;
  arrival.expectsContinue = false;
  res.writeContinue();
}

/**
 * Makes the HTTP server in front of an application; `refuse` writes the answer to what could not even be parsed, and
 * `readSibling` reads what else may go through than files. Without an `entrance`, connections come in as they are;
 * `underWay` is told of what comes and goes.
 */
export function createEdge(
  app: (req: IncomingMessage, res: ServerResponse) => void,
  limitsNow: () => EdgeLimits,
  refuse: (code: ErrorCode, socket: Socket, raw?: Buffer) => void,
  readSibling?: Passthrough,
  entrance?: Entrance,
  underWay?: UnderWay,
): Server {
  const lines = new WeakMap<Socket, Line>();
  const lineOf = (socket: Socket): Line => {
    const line = lines.get(socket) ?? new Line(socket, limitsNow().discardBytes);
    lines.set(socket, line);
    return line;
  };

  const begin = (req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) => {
    const gone = new AbortController();
    // Once an answer is out, nobody has to be told that its client needs no more.
    res.once('close', () => {
      if (!res.writableFinished) gone.abort(LEFT);
    });
    // Writing to a client that has just gone is an error event, and one that nobody hears would end the process.
    res.on('error', () => gone.abort(LEFT));
    const framing = checkFraming(req);
    // After bad framing nothing more on the connection is believed.
    if (!framing.allowed) res.setHeader('Connection', 'close');
    const raw = req.url ?? '';
    const asFile = framing.allowed ? readTarget(raw) : framing;
    const beside = framing.allowed && 'allowed' in asFile ? readSibling?.(raw) : undefined;
    const sibling = beside && 'allowed' in beside ? undefined : beside;
    const reading = beside && 'allowed' in beside ? beside : asFile;
    arrivals.set(req, { reading, sibling, expectsContinue, gone });
    underWay?.began(req.socket, { res, breakOff: (error) => gone.abort(error) });
    req.url = sibling ? siblingRoute(sibling.kind) : canonicalPath(reading);
    app(req, res);
  };
  const arrive = (req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) =>
    lineOf(req.socket).join({ req, res, begin: () => begin(req, res, expectsContinue) });

  const server = createListener(
    {
      maxHeaderSize: MAX_HEAD_BYTES,
      connectionsCheckingInterval: CHECK_MS,
      // Judged in policy/head.ts, which can say so in JSON.
      requireHostHeader: false,
      noDelay: true,
    },
    entrance,
    { deadlineMs: () => limitsNow().headTimeoutMs, refusePlain: (socket) => refuse('TLS_REQUIRED', socket) },
  );
  // Node drops what is above its count without a word; the size of the head bounds it, and policy/head.ts counts.
  server.maxHeadersCount = 0;
  boundEdge(server, limitsNow());
  if (underWay) follow(server, underWay);
  server.on('request', (req, res) => arrive(req, res, false));
  server.on('checkContinue', (req, res) => arrive(req, res, true));
  server.on('checkExpectation', (req, res) => arrive(req, res, true));
  server.on('timeout', (socket) => lineOf(socket).expire());
  server.on('connect', (_req, socket: Socket) => {
    // Node has let go of this socket: an error that nobody hears would end the process.
    socket.on('error', () => socket.destroy());
    lineOf(socket).end(() => refuse('METHOD_NOT_ALLOWED', socket));
  });
  server.on('clientError', (error: Unparsed, socket: Socket) => {
    const code = isUnknownMethod(error) ? 'METHOD_NOT_ALLOWED' : codeOf(error);
    if (code === 'CLIENT_GONE') {
      socket.destroy();
      return;
    }
    lineOf(socket).break({
      refuse: () => refuse(code, socket, error.rawPacket),
      breakOff: (req) => arrivals.get(req)?.gone.abort(new GatewayError(code, { reason: error.code })),
    });
  });
  return server;
}

/** Tells of the connections on which requests come: where TLS is spoken, from when its handshake is over. */
function follow(server: Server, underWay: UnderWay): void {
  const isTls = server instanceof TlsServer;
  server.on('connection', (socket: Socket) => {
    underWay.took(socket);
    if (!isTls) underWay.connected(socket);
  });
  if (isTls) server.on('secureConnection', (socket) => underWay.connected(socket));
}

/** Sets the bounds of a server; those of connections that are open change with their next request. */
export function boundEdge(server: Server, limits: EdgeLimits): void {
  server.headersTimeout = limits.headTimeoutMs;
  // A backstop only: bodies have deadlines of their own, which answer in Easemob's words.
  server.requestTimeout = limits.bodyTotalMs + limits.headTimeoutMs;
  server.keepAliveTimeout = limits.keepAliveMs;
  server.maxConnections = limits.maxConnections;
  // Node cuts no client that asks and asks but never reads. A late head is found before that, and gets its 408.
  server.timeout = limits.headTimeoutMs + CHECK_MS + limits.bodyIdleMs;
}

/** What Express sees of a path beside the files: its kind alone. No client can ask for it, since it is shown nothing else. */
export const siblingRoute = (kind: SiblingKind): string => `/~${kind}`;

const canonicalPath = (reading: Target | Denial): string => {
  if ('allowed' in reading) return '/';
  return `/${reading.org}/${reading.app}/chatfiles${reading.file === undefined ? '' : `/${reading.file}`}`;
};

/** What Node's parser says of bytes that it could not read. */
type Unparsed = NodeJS.ErrnoException & { rawPacket?: Buffer };

/** Whether the parser stopped at a well-formed request line whose method it does not know, and not at mere noise. */
function isUnknownMethod({ code, rawPacket }: Unparsed): boolean {
  const line = rawPacket?.subarray(0, 256).toString('latin1') ?? '';
  const method = /^([A-Z][A-Z-]{0,31}) [!-~]+ HTTP\/1\.[01]\r\n/.exec(line)?.[1];
  // A known one is that of an earlier request in the same packet: then what could not be read lies behind it.
  return code === 'HPE_INVALID_METHOD' && method !== undefined && !METHODS.includes(method);
}

/** Whether it stopped at a version that is written as one should be. */
const isUnknownVersion = ({ code, rawPacket }: Unparsed): boolean =>
  code === 'HPE_INVALID_VERSION' && /^[A-Z-]{1,32} [!-~]+ HTTP\/\d\.\d\r\n/.test(rawPacket?.toString('latin1') ?? '');

function codeOf(error: Unparsed): ErrorCode {
  const { code } = error;
  if (isUnknownVersion(error)) return 'VERSION_UNSUPPORTED';
  if (code === 'HPE_HEADER_OVERFLOW') return 'HEAD_TOO_LARGE';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'REQUEST_TOO_SLOW';
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'HPE_INVALID_EOF_STATE') return 'CLIENT_GONE';
  return 'REQUEST_MALFORMED';
}
