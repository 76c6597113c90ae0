/**
 * The door: what a connection goes through before HTTP hears of it.
 *
 * 1. One from a load balancer that speaks the PROXY protocol says whom it is from. From then on that is its address,
 *    for everybody who asks the socket. From any other peer such a header is not read: HTTP refuses it as noise.
 * 2. Where TLS is spoken, its handshake. A request in plain HTTP is told so, and is told it in plain HTTP.
 *
 * One deadline bounds both. Connections in the door count among those of the server, and are closed when it closes.
 * What goes wrong here has no exchange and no line in the log: it is told to `trouble`, by words of a closed set.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { watchHandshakes } from './handshake.ts';
import { readProxyHeader } from './proxy-header.ts';
import { assumeSource, peerOf, type TellTrouble, type Visit } from './visit.ts';

/** What the door asks and needs. */
export type DoorDeps = {
  clock: Clock;
  /** How long a connection may take to come through, in ms. */
  deadlineMs: () => number;
  /** Whether the connections of a peer begin with a PROXY header. */
  announces: (peer: string) => boolean;
  isTls: boolean;
  /** Tells whoever speaks plain HTTP where TLS is spoken, and closes the connection. */
  refusePlain: (socket: Socket) => void;
  trouble: TellTrouble;
};

/** How often a connection in the door is looked at, in ms; so long it may still come through when the server closes. */
const LOOK_MS = 1000;

/** Puts a door before a server. */
export function installDoor(server: Server, deps: DoorDeps): void {
  // What Node does with a connection: it begins HTTP, or TLS and then HTTP.
  const behind = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  const letIn = (socket: Socket) => {
    for (const begin of behind) begin.call(server, socket);
  };
  const beginHandshake = deps.isTls ? watchHandshakes(server, deps.trouble) : undefined;

  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const peer = socket.remoteAddress;
    const isAnnounced = deps.announces(peer ?? '');
    if (!isAnnounced && !deps.isTls) return letIn(socket);
    const visit: Visit = { socket, peer, stage: isAnnounced ? 'header' : 'first-byte' };
    const giveUp = () => {
      if (visit.stage === 'header') deps.trouble('proxy-header-late', peer);
      if (visit.stage === 'handshake') deps.trouble('handshake-late', peerOf(visit));
      // One that has said nothing at all, where TLS is spoken, is a browser's that was opened in advance.
      socket.destroy();
    };
    const watch = (leftMs: number): (() => void) =>
      deps.clock.after(Math.min(leftMs, LOOK_MS), () => {
        if (leftMs <= LOOK_MS) giveUp();
        // The server does not know of it when it closes, and would wait for it.
        else if (!server.listening) socket.destroy();
        else cancelWatch = watch(leftMs - LOOK_MS);
      });
    let cancelWatch = watch(deps.deadlineMs());
    const leave = () => {
      cancelWatch();
      socket.off('close', leave);
    };
    socket.once('close', leave);
    receive(visit, deps, () => {
      if (beginHandshake) return beginHandshake(visit, () => letIn(socket), leave);
      assumeSource(socket, visit.source);
      leave();
      letIn(socket);
    });
  });
}

/** Reads what comes first, and hands the connection on with every byte that is not part of a PROXY header. */
function receive(visit: Visit, { isTls, refusePlain, trouble }: DoorDeps, handOn: () => void): void {
  const { socket, peer } = visit;
  let bytes: Buffer = Buffer.alloc(0);
  let atLeast = 1;

  const stop = () => {
    socket.off('readable', look).off('end', leaveEarly);
  };
  const look = () => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    if (bytes.length < atLeast) return;
    if (visit.stage === 'header') {
      const reading = readProxyHeader(bytes);
      if (reading.kind === 'partial') {
        atLeast = reading.atLeast;
        return;
      }
      if (reading.kind !== 'header') {
        trouble(reading.kind === 'none' ? 'proxy-header-missing' : 'proxy-header-broken', peer, reading.reason);
        socket.destroy();
        return;
      }
      if (reading.source) visit.source = reading.source;
      visit.stage = 'first-byte';
      bytes = bytes.subarray(reading.length);
    }
    if (isTls && bytes.length === 0) return;
    stop();
    if (bytes.length > 0) socket.unshift(bytes);
    if (isTls && isLetter(bytes[0])) {
      assumeSource(socket, visit.source);
      refusePlain(socket);
    } else handOn();
  };
  // Servers of HTTP keep a connection half open; here nobody would answer on it.
  const leaveEarly = () => {
    if (visit.stage === 'header' && bytes.length > 0) trouble('proxy-header-broken', peer, 'it ends in the middle');
    socket.destroy();
  };
  // Its 'close' follows; an error that nobody hears would end the process.
  socket
    .on('readable', look)
    .on('end', leaveEarly)
    .on('error', () => {});
}

/** Methods begin with a letter; what a TLS client says first never does. */
const isLetter = (byte: number | undefined): boolean =>
  byte !== undefined && /[A-Za-z]/.test(String.fromCharCode(byte));
