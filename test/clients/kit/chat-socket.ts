import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { CHAT, COMMAND, createMsync, type Fields, type Msync } from './msync.ts';
import type { Sdk } from './sdks.ts';

/** A stand-in for Easemob's chat connection: whoever comes is logged in, and messages go to whom they are for. */
export type ChatSocket = AsyncDisposable & {
  /** What an SDK takes as `url`. */
  url: string;
  /** Origins that a page may be seen talking to because of it. */
  origins: string[];
  /** The messages that came, as their senders wrote them. */
  messages: Fields[];
};

/** Somebody who is logged in. */
type Peer = { user: string; resource: string; send(frame: Fields): void };

/** How bytes travel within a WebSocket. */
type Wire = { pack(bytes: Uint8Array): string | Uint8Array; unpack(data: Buffer): Uint8Array[]; greeting?: string };

const WIRES: Record<Sdk['transport'], Wire> = {
  websocket: { pack: (bytes) => bytes, unpack: (data) => [data] },
  sockjs: {
    greeting: 'o',
    pack: (bytes) => `a${JSON.stringify([Buffer.from(bytes).toString('base64')])}`,
    unpack: (data) => (JSON.parse(data.toString()) as string[]).map((text) => Buffer.from(text, 'base64')),
  },
};

/** Starts one that speaks as this SDK expects it. */
export async function startChatSocket({ bundle, transport }: Sdk): Promise<ChatSocket> {
  const msync = createMsync(bundle);
  const wire = WIRES[transport];
  const server = createServer(answerSockJs);
  const sockets = new WebSocketServer({ server });
  const house = createHouse(msync);
  sockets.on('connection', (socket: WebSocket) => {
    const visitor = house.enter((bytes) => socket.send(wire.pack(bytes)));
    if (wire.greeting !== undefined) socket.send(wire.greeting);
    socket.on('message', (data: Buffer) => {
      for (const bytes of wire.unpack(data)) visitor.says(bytes);
    });
    socket.on('close', () => visitor.leaves());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: transport === 'sockjs' ? `http://${host}/ws` : `ws://${host}/websocket`,
    origins: [`http://${host}`, `ws://${host}`],
    messages: house.messages,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** SockJS asks what the server can do before it connects. */
function answerSockJs({ headers }: IncomingMessage, res: ServerResponse): void {
  res.setHeader('access-control-allow-origin', headers.origin ?? '*');
  res.setHeader('access-control-allow-credentials', 'true');
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ websocket: true, origins: ['*:*'], cookie_needed: false, entropy: 1 }));
}

/**
 * Where visitors meet. A message waits in a queue of its receiver, one for each conversation: the receiver is told of
 * the queue (NOTICE), asks for what is in it (SYNC with the queue), and asks again from there until nothing is left.
 */
function createHouse(msync: Msync) {
  const peers = new Set<Peer>();
  const queues = new Map<string, Fields[]>();
  const messages: Fields[] = [];
  let lastId = Date.now() * 1000;

  const login = (frame: Fields, send: Peer['send']): Peer => {
    const { guid, payload } = frame as { guid: { name: string }; payload: Uint8Array };
    const { resource = '' } = msync.decode('Provision', payload) as { resource?: string };
    const expiresAt = Date.now() + 86_400_000;
    send({
      command: COMMAND.PROVISION,
      payload: msync.encode('Provision', {
        status: { errorCode: 0 },
        resource,
        authToken: JSON.stringify({ expires_in: expiresAt }),
      }),
    });
    return { user: guid.name, resource, send };
  };

  const sync = (peer: Peer, fields: Fields) =>
    peer.send({ command: COMMAND.SYNC, payload: msync.encode('CommSyncDL', { timestamp: Date.now(), ...fields }) });

  const queueOf = (user: string, name: string) => {
    const key = JSON.stringify([user, name]);
    const queue = queues.get(key) ?? [];
    queues.set(key, queue);
    return queue;
  };

  /** Takes a message, tells its sender so, and its receivers that there is something for them. */
  const post = (sender: Peer, meta: Fields) => {
    const to = meta['to'] as { name: string; domain: string };
    const isGroup = to.domain.startsWith('conference');
    lastId += 1;
    const from = { ...to, name: sender.user, domain: 'easemob.com', clientResource: sender.resource };
    const posted = { ...meta, id: String(lastId), from, timestamp: Date.now() };
    messages.push(msync.decode('MessageBody', meta['payload'] as Uint8Array));
    sync(sender, { status: { errorCode: 0 }, metaId: meta['id'], serverId: String(lastId) });
    for (const peer of peers) {
      if (isGroup ? peer.user === sender.user : peer.user !== to.name) continue;
      const queue = { ...to, name: isGroup ? to.name : sender.user };
      queueOf(peer.user, queue.name).push(posted);
      peer.send({ command: COMMAND.NOTICE, payload: msync.encode('CommNotice', { queue }) });
    }
  };

  /** Hands out what is in a queue; a key says that everything before was received. */
  const handOut = (peer: Peer, queue: Fields, key: unknown) => {
    const waiting = queueOf(peer.user, String(queue['name']));
    if (key !== undefined) waiting.splice(0, waiting.findLastIndex(({ id }) => id === key) + 1);
    const status = { errorCode: 0 };
    const last = waiting.at(-1);
    sync(peer, last ? { status, queue, metas: waiting, nextKey: last['id'] } : { status, queue, isLast: true });
  };

  return {
    messages,
    enter(write: (bytes: Uint8Array) => void) {
      let peer: Peer | undefined;
      const send: Peer['send'] = (frame) => write(msync.encode('MSync', { encryptType: [0], ...frame }));
      return {
        says(bytes: Uint8Array) {
          const frame = msync.decode('MSync', bytes);
          const command = frame['command'] ?? COMMAND.SYNC;
          if (command === COMMAND.PROVISION) {
            peer = login(frame, send);
            peers.add(peer);
          } else if (peer && command === COMMAND.UNREAD) {
            const unread = { status: { errorCode: 0 }, timestamp: Date.now() };
            send({ command: COMMAND.UNREAD, payload: msync.encode('CommUnreadDL', unread) });
          } else if (peer && command === COMMAND.SYNC) {
            const { meta, queue, key } = msync.decode('CommSyncUL', frame['payload'] as Uint8Array) as {
              meta?: Fields;
              queue?: Fields;
              key?: string;
            };
            if (queue) handOut(peer, queue, key);
            if (meta?.['ns'] === CHAT) post(peer, meta);
          }
        },
        leaves() {
          if (peer) peers.delete(peer);
        },
      };
    },
  };
}
