import type { ErrorCode, GatewayError } from '../errors.ts';
import type { Trace } from '../tracing/trace.ts';
import type { Sent, Trail } from '../upstream/send.ts';
import type { Movement } from './movement.ts';

/** What a request is, for logs and metrics: a closed set, so that no client can make new values. */
export type Route =
  | 'upload'
  | 'download'
  | 'thumbnail'
  | 'preflight'
  | 'login'
  | 'shared-file'
  | 'part-upload'
  | 'sibling'
  | 'other';

/** One request and its answer so far; phases fill it in, the summary reads it. */
export type Exchange = {
  readonly id: string;
  /** Arrival, ms since the epoch. */
  readonly startedAt: number;
  /** Aborted when the client's connection has closed. */
  readonly signal: AbortSignal;
  /** The client's address, as far as proxies in front are believed. */
  readonly client: string;
  /** Who the client is by its certificate, if it has shown one. */
  readonly clientCert?: string | undefined;
  readonly trail: Trail;
  readonly trace: Trace;
  route: Route;
  /** `org/app`, once the destination policy has allowed it. */
  app?: string;
  /** Bytes of the request's body that were taken in, and of the answer's body that were handed to the client. */
  bytesIn: number;
  bytesOut: number;
  upstreamStatus?: number;
  /** What became of it in the cache, as the client was told. */
  cache?: string;
  /** How far the last attempt had come when it failed. */
  failure?: { sent: Sent };
  /** The methods to name in an Allow field. */
  allow?: string;
  error?: GatewayError;
  /** What the first policy that only reports would have refused it for. */
  wouldDeny?: { code: ErrorCode; reason: string };
  /** The file that it moves, if it is one of those requests that do. */
  movement?: Movement;
  /** What clamd said of its file, and how long that took, in ms. */
  scan?: { verdict: 'clean' | 'infected' | 'failed'; ms: number };
};
