/**
 * One try at the upstream: what http-proxy-middleware is handed in place of the client's request and response.
 *
 * It sees a request made of nothing but what shall go out, and a response that it cannot write to. So nothing that
 * happens in one try (a broken 503, a double error event) can reach the client's own response, and the next try
 * starts clean. What the proxy engine asks of a response while `selfHandleResponse` is on is `on`, `destroy` and four
 * flags, which are here.
 */
import { EventEmitter } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { Clock } from '../clock.ts';
import type { OutboundRequest, Sent } from './send.ts';

/** How long each part of one try may take, and how long its body may stand still on the way out, in ms. */
export type AttemptTimeouts = { connectTimeoutMs: number; answerTimeoutMs: number; idleTimeoutMs: number };

/** A try's end: the upstream's answer with its body unread, or what kept it from coming. */
export type AttemptResult =
  | { ok: true; answer: IncomingMessage }
  | { ok: false; error: Error; timedOut: boolean; sent: Sent; reused: boolean };

/** The response half of one try; `outcome` settles once and never rejects. */
export class Attempt extends EventEmitter {
  readonly headersSent = false;
  readonly finished = false;
  writableFinished = false;
  destroyed = false;

  readonly outcome: Promise<AttemptResult>;
  readonly body: Readable;
  readonly #settle: (result: AttemptResult) => void;
  readonly #clock: Clock;
  readonly #timeouts: AttemptTimeouts;
  readonly #signal: AbortSignal;
  readonly #onDeparture: () => void;
  readonly #onAbort = () => this.fail(new Error('the client has gone'));

  #engine: ClientRequest | undefined;
  #answer: IncomingMessage | undefined;
  #connected = false;
  #hasWritten = false;
  #timedOut = false;
  #settled = false;
  #cancelTimer: () => void = () => {};

  constructor(
    body: Readable,
    timeouts: AttemptTimeouts,
    clock: Clock,
    { signal, onDeparture = () => {} }: Pick<OutboundRequest, 'signal' | 'onDeparture'>,
  ) {
    super();
    this.#onDeparture = onDeparture;
    this.body = body;
    this.#clock = clock;
    this.#timeouts = timeouts;
    this.#signal = signal;
    const { promise, resolve } = Promise.withResolvers<AttemptResult>();
    this.outcome = promise;
    this.#settle = resolve;
    // The engine pipes the body but listens for no error of it: without this, a disk fault would end the process.
    body.on('error', (error) => this.fail(error));
    signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#expect(timeouts.connectTimeoutMs);
    if (signal.aborted) this.#onAbort();
  }

  /** The engine's request has a socket; nothing of the policy hangs on this, since an `Expect` would suppress it. */
  started(engine: ClientRequest): void {
    if (this.destroyed) {
      engine.destroy();
      return;
    }
    this.#engine = engine;
    const socket = engine.socket;
    const connected = () => {
      this.#connected = true;
      this.#depart();
      this.#expectAnswer();
    };
    if (engine.reusedSocket || !socket || !socket.connecting) connected();
    else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', connected);
    // The engine has begun to listen to the body when it says so; what it hears first, it writes behind the head.
    engine.once('pipe', () => {
      const first = () => {
        this.body.off('data', first).off('end', first);
        this.#hasWritten = true;
        this.#depart();
      };
      this.body.on('data', first).on('end', first);
    });
    // The clock for the answer starts when the last byte is out, or else a slow uplink would look like a slow upstream.
    engine.once('finish', () => this.#expectAnswer());
    // An answer that switches protocols ends the connection without any other event.
    engine.once('close', () => {
      if (!this.#settled) this.fail(new Error('the connection closed without an answer'));
    });
  }

  /** The upstream has answered; from here on its body is the caller's. */
  answered(answer: IncomingMessage): void {
    if (this.#settled) {
      answer.destroy();
      return;
    }
    this.#answer = answer;
    // A refused body may not have been read to its end: whatever comes next on its connection would be taken for the
    // rest of it, or meet a reset.
    const isRefused = (answer.statusCode ?? 0) >= 400;
    if (this.#engine && this.#engine.method !== 'GET' && isRefused) this.#engine.shouldKeepAlive = false;
    this.#end({ ok: true, answer });
  }

  /** Something went wrong; only the first such call counts, and after an answer only what disproves it. */
  fail(error: Error): void {
    if (this.#settled) {
      // Bytes behind the announced end: the length was a lie, and nobody can tell what was to be in the file.
      if (isUnreadable(error)) this.#answer?.destroy(error);
      return;
    }
    const sent = !this.#connected ? 'nothing' : this.#engine?.writableFinished ? 'whole' : 'part';
    this.#end({ ok: false, error, timedOut: this.#timedOut, sent, reused: this.#engine?.reusedSocket ?? false });
    this.destroy();
  }

  /** Lets the engine forget this try after its answer was read to the end. */
  release(): void {
    this.writableFinished = true;
    this.destroy();
  }

  /** Ends the try: the engine tears its upstream request down unless the try was released. */
  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.body.destroy();
    this.emit('close');
    return this;
  }

  /** The head goes out as soon as there is a connection and something to write. */
  #depart(): void {
    if (this.#connected && this.#hasWritten && !this.#settled) this.#onDeparture();
  }

  #end(result: AttemptResult): void {
    this.#settled = true;
    this.#cancelTimer();
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#settle(result);
  }

  #expectAnswer(): void {
    if (this.#settled) return;
    this.#expect(this.#engine?.writableFinished ? this.#timeouts.answerTimeoutMs : this.#timeouts.idleTimeoutMs);
  }

  /** Fails the try unless something moves: while a body is going out, progress on the socket is something. */
  #expect(withinMs: number): void {
    this.#cancelTimer();
    const writtenBefore = this.#engine?.socket?.bytesWritten ?? 0;
    this.#cancelTimer = this.#clock.after(withinMs, () => {
      const written = this.#engine?.socket?.bytesWritten ?? 0;
      const sending = this.#connected && !this.#engine?.writableFinished;
      if (sending && written > writtenBefore) return this.#expect(withinMs);
      this.#timedOut = true;
      this.fail(new Error(`nothing happened for ${withinMs} ms`));
    });
  }
}

/** Whether an error is the HTTP parser's, which could make no sense of what came. */
export const isUnreadable = (error: Error): boolean => ((error as NodeJS.ErrnoException).code ?? '').startsWith('HPE_');

/** The request half of one try: what the proxy engine reads of a request, with nothing of the client's own in it. */
export class AttemptRequest extends EventEmitter {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly httpVersion = '1.1';
  readonly httpVersionMajor = 1;
  readonly httpVersionMinor = 1;

  constructor(request: OutboundRequest, host: string) {
    super();
    this.method = request.method;
    this.url = request.path;
    this.headers = { ...request.headers, host };
    if (request.body) this.headers['content-length'] = String(request.body.bytes);
  }
}
