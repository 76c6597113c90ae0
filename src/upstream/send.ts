/** The way out, as types: one function that makes requests, and the layers that wrap it. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { SlotRequest } from '../quota/waiter.ts';
import type { Trace } from '../tracing/trace.ts';
import type { SpooledBody } from './spooled-body.ts';

/** What is sent: files go by the first two, other paths by all. */
export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** A request as it goes upstream; `path` and `headers` are complete but for Host and Content-Length. */
export type OutboundRequest = {
  method: Method;
  path: string;
  headers: Record<string, string>;
  body?: SpooledBody;
  /** The conditions in it are for the upstream alone: not the client's, but of what is kept. */
  ownConditions?: boolean;
  /** Aborted when the client has gone. */
  signal: AbortSignal;
  /** Who stands in line for this request, and how long it may stand there in all, in ms. */
  turn: Turn;
  /** Called when the head of an attempt goes out: that may be later than it was let go. */
  onDeparture?: () => void;
  /** What happened on the way, for the summary; layers add to it. */
  trail: Trail;
  /** The request's place in its trace; layers add their steps. */
  trace?: Trace | undefined;
};

/** A request's place in the line for slots. */
export type Turn = Pick<
  SlotRequest,
  'client' | 'app' | 'bearer' | 'isProven' | 'priority' | 'kind' | 'maxWaitMs' | 'isSpare'
>;

/** What the layers note about one request: attempts made, ms spent waiting for slots and for the upstream. */
export type Trail = { attempts: number; queuedMs: number; upstreamMs: number };

/** How much of a request had been written to a connected socket when it failed. */
export type Sent = 'nothing' | 'part' | 'whole';

/** How one attempt ended. Nothing here is thrown: what went wrong is a value, and the layers decide. */
export type Outcome =
  /** A success or a redirect, its body still to be read; `release` must be called when done with it. */
  | {
      kind: 'answer';
      status: number;
      headers: IncomingHttpHeaders;
      body: IncomingMessage;
      release: () => void;
      /** The body's bytes, where somebody on the way has read it already. */
      whole?: Buffer;
      /** Where what was made lies, as clients are told. */
      location?: string;
    }
  /** A status from 400 on, read whole (up to 64 KB); `error` and `description` are what Easemob's JSON says. */
  | {
      kind: 'refusal';
      status: number;
      headers: IncomingHttpHeaders;
      body: Buffer;
      error: string | undefined;
      description: string | undefined;
    }
  /**
   * No answer. `reused`: it was written to a kept-alive socket, which the upstream may just have closed. `isLasting`: the
   * next attempt would meet the same, like a certificate that is not trusted.
   */
  | {
      kind: 'failure';
      cause: 'unreachable' | 'reset' | 'timeout' | 'broken';
      sent: Sent;
      reused: boolean;
      isLasting?: boolean;
      error: Error;
    };

/** Makes a request at the upstream and tells how it ended; rejects only with a GatewayError that ends the request. */
export type Send = (request: OutboundRequest) => Promise<Outcome>;

/** Behaviour around a Send. */
export type Layer = (next: Send) => Send;

/** Puts layers on top of each other; the first is the outermost. */
export const stack =
  (...layers: Layer[]): Layer =>
  (send) =>
    layers.reduceRight((next, layer) => layer(next), send);
