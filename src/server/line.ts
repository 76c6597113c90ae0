/**
 * The requests of one connection, one at a time.
 *
 * Node starts every pipelined request as soon as it is parsed, whatever becomes of those before it: behind a refusal
 * that closes the connection, and for a client that has left, each would still cost Easemob a call. So:
 *
 * 1. A request begins when the answer before it is out, and never if that answer closed the connection.
 * 2. Bytes that cannot be parsed are answered in their turn, or else their refusal would be taken for an earlier answer.
 * 3. Behind such bytes nothing is believed any more. What still comes is thrown away for a while, so that the client
 *    can read the refusal before the connection is cut.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** One request that was parsed, and how it begins. */
export type Turn = { req: IncomingMessage; res: ServerResponse; begin: () => void };

/** How bytes that could not be parsed are answered: on the bare socket, or by the exchange whose body they are. */
export type Breaking = { refuse: () => void; breakOff: (req: IncomingMessage) => void };

/** More requests than any client sends ahead. Reading could not be held back instead: Node resumes it after each answer. */
const MAX_WAITING = 100;

/** The line of one connection. */
export class Line {
  readonly #socket: Socket;
  readonly #maxUnparsedBytes: number;
  readonly #waiting: Turn[] = [];
  #current: Turn | undefined;
  #last: (() => void) | undefined;
  /** Bytes read when the first could not be parsed. */
  #brokenAt: number | undefined;

  constructor(socket: Socket, maxUnparsedBytes: number) {
    this.#socket = socket;
    this.#maxUnparsedBytes = maxUnparsedBytes;
  }

  /** Puts a request behind those that are here, or cuts the connection if too many are; it begins at once if there are none. */
  join(turn: Turn): void {
    if (this.#current === undefined) return this.#begin(turn);
    this.#waiting.push(turn);
    if (this.#waiting.length > MAX_WAITING) this.#socket.destroy();
  }

  /** Ends the line: whoever joined before still has his turn, then this is called unless the connection was closed. */
  end(last: () => void): void {
    if (this.#current === undefined) last();
    else this.#last = last;
  }

  /** The next bytes could not be parsed; called again for whatever comes behind them. */
  break({ refuse, breakOff }: Breaking): void {
    const { bytesRead, readableEnded } = this.#socket;
    if (this.#brokenAt !== undefined) {
      if (readableEnded) this.#socket.destroySoon();
      else if (bytesRead - this.#brokenAt > this.#maxUnparsedBytes) this.#socket.destroy();
      return;
    }
    this.#brokenAt = bytesRead;
    const newest = this.#waiting.at(-1) ?? this.#current;
    if (newest === undefined || newest.req.complete) this.end(refuse);
    else breakOff(newest.req);
  }

  /** Nothing has moved for a while: ends the connection if it idles, or if its client does not take an answer. */
  expire(): void {
    // While the upstream is asked nothing moves here either; that has deadlines of its own.
    if (this.#current === undefined || this.#socket.writableLength > 0) this.#socket.destroy();
  }

  #begin(turn: Turn): void {
    this.#current = turn;
    turn.res.once('close', () => this.#next());
    turn.begin();
  }

  #next(): void {
    this.#current = undefined;
    if (!this.#socket.writable) {
      this.#waiting.length = 0;
      return;
    }
    const turn = this.#waiting.shift();
    if (turn) this.#begin(turn);
    else this.#last?.();
  }
}
