import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** One request as it arrived on a raw upstream: its head as text, and the bytes behind it so far. */
export type RawRequest = { head: string; body: Buffer; socket: Socket };

/** An upstream that says exactly the bytes a test wants it to say; disposing cuts every connection. */
export type RawUpstream = AsyncDisposable & {
  url: string;
  /** Whole requests received so far, on all connections. */
  requests: RawRequest[];
  /** Connections made so far. */
  connections: number;
};

/** Starts an upstream whose `answer` is called once for each whole request (its body framed by Content-Length). */
export async function startRawUpstream(answer: (request: RawRequest, count: number) => void): Promise<RawUpstream> {
  const requests: RawRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    let pending = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const end = pending.indexOf('\r\n\r\n');
        if (end === -1) return;
        const head = pending.subarray(0, end).toString('latin1');
        const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
        if (pending.length < end + 4 + length) return;
        const request = { head, body: pending.subarray(end + 4, end + 4 + length), socket };
        pending = pending.subarray(end + 4 + length);
        requests.push(request);
        answer(request, requests.length);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  };
}
