/**
 * The connections of the clients' port, and the requests that are under way on them: what a drain waits for.
 *
 * A connection is idle when no request is under way on it and nothing of a next one has come. Whose idle connection is
 * closed may have sent a request in that very moment, and cannot know whether it was heard: so the other side had better
 * close it, and a drain closes only what has been idle for a while.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { GatewayError } from '../errors.ts';

/** A request under way, and how it is broken off with an answer that says why. */
export type Going = { res: ServerResponse; breakOff: (error: GatewayError) => void };

type Connection = { going: Set<Going>; idleSince: number; bytesRead: number };

/** Who is connected and what is under way, as it changes. */
export class UnderWay {
  /** All that were taken, also those on which no request can come yet: in TLS, what is below it. */
  readonly #sockets = new Set<Socket>();
  #taken = 0;
  readonly #connections = new Map<Socket, Connection>();
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** Those that were broken off or cut: they count there, and not as finished. */
  readonly #brokenOff = new WeakSet<Going>();
  #finished = 0;
  #refused = 0;
  #isClosing = false;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** A connection was taken. */
  took(socket: Socket): void {
    this.#taken += 1;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  /** Requests may come on a connection from now on. */
  connected(socket: Socket): void {
    this.#connections.set(socket, {
      going: new Set(),
      idleSince: this.#clock.monotonic(),
      bytesRead: socket.bytesRead,
    });
    socket.once('close', () => {
      for (const going of this.#connections.get(socket)?.going ?? []) this.#end(going);
      this.#connections.delete(socket);
    });
  }

  /** A request has begun; it is under way until its response closes. */
  began(socket: Socket, going: Going): void {
    const connection = this.#connections.get(socket);
    if (!connection) return;
    if (this.#isClosing) closeAfter(going);
    connection.going.add(going);
    going.res.once('close', () => {
      if (!connection.going.delete(going)) return;
      this.#end(going);
      connection.idleSince = this.#clock.monotonic();
      connection.bytesRead = socket.bytesRead;
    });
  }

  /** From now on every answer closes its connection, also those of requests that are under way but have no head yet. */
  closeAfterAnswers(): void {
    this.#isClosing = true;
    for (const going of this.#going()) closeAfter(going);
  }

  /** Closes connections that have been idle for so long, counted from `since` at the earliest. */
  closeIdle(idleMs: number, since: number): void {
    const now = this.#clock.monotonic();
    for (const [socket, { going, idleSince, bytesRead }] of this.#connections) {
      // A head of which something has come is a request: if the rest of it is late, the server itself says so.
      if (going.size > 0 || socket.bytesRead > bytesRead) continue;
      if (now - Math.max(idleSince, since) >= idleMs) socket.destroy();
    }
  }

  /** Breaks off all whose answer has not begun, and tells how many they were. */
  breakOff(errorOf: () => GatewayError): number {
    const unanswered = [...this.#going()].filter(({ res }) => !res.headersSent);
    for (const going of unanswered) {
      this.#brokenOff.add(going);
      going.breakOff(errorOf());
    }
    return unanswered.length;
  }

  /** Cuts all connections, and tells how many requests got no answer, or not the whole of it, for the reason that is given. */
  cut(errorOf: () => GatewayError): number {
    const unended = [...this.#going()].filter((going) => !this.#brokenOff.has(going));
    for (const going of unended) {
      this.#brokenOff.add(going);
      going.breakOff(errorOf());
    }
    for (const socket of [...this.#connections.keys(), ...this.#sockets]) socket.destroy();
    return unended.length;
  }

  /** How many were taken since the start. */
  get taken(): number {
    return this.#taken;
  }

  get connections(): number {
    return this.#connections.size;
  }

  get requests(): number {
    return this.#connections.values().reduce((sum, { going }) => sum + going.size, 0);
  }

  /** Requests that have come to their own end since the start: answered, or left by their client. */
  get finished(): number {
    return this.#finished;
  }

  /** Requests that were sent away with a 503 since the start. */
  get refused(): number {
    return this.#refused;
  }

  #end(going: Going): void {
    if (this.#brokenOff.has(going)) return;
    if (going.res.headersSent && going.res.statusCode === 503) this.#refused += 1;
    else this.#finished += 1;
  }

  *#going(): Generator<Going> {
    for (const { going } of this.#connections.values()) yield* going;
  }
}

function closeAfter({ res }: Going): void {
  if (!res.headersSent) res.setHeader('Connection', 'close');
}
