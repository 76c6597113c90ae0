import { once } from 'node:events';
import { createServer, type IncomingMessage, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Requests that are held back; `count` of them so far. */
export type Held = { readonly count: number; release(): void };

/** A hop before the upstream that passes everything on as it came, and holds back what a test names. */
export type Gate = AsyncDisposable & {
  url: string;
  /** What arrived so far, in order. */
  arrived: { method: string; path: string; authorization: string | undefined; port: number }[];
  /** Holds back what matches from now on, before the upstream has heard of it, until it is released. */
  hold(matches?: (request: IncomingMessage) => boolean): Held;
};

/** Opens a gate before an upstream. */
export async function startGate(upstreamUrl: string): Promise<Gate> {
  const holds: { matches: (request: IncomingMessage) => boolean; count: number; opened: Promise<void> }[] = [];
  const arrived: Gate['arrived'] = [];
  const { hostname, port } = new URL(upstreamUrl);

  const server = createServer((req, res) => {
    const { method = '', url = '', rawHeaders } = req;
    arrived.push({ method, path: url, authorization: req.headers.authorization, port: req.socket.remotePort ?? 0 });
    const pass = () => {
      if (req.socket.destroyed) return;
      const onward = send({ hostname, port, method, path: url, headers: rawHeaders }, (answer) => {
        res.writeHead(answer.statusCode ?? 0, answer.rawHeaders);
        answer.on('error', () => res.destroy()).pipe(res);
      });
      onward.on('error', () => res.destroy());
      res.once('close', () => onward.destroy());
      req.pipe(onward);
    };
    const held = holds.find(({ matches }) => matches(req));
    if (!held) return pass();
    held.count += 1;
    void held.opened.then(pass);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrived,
    hold(matches = () => true) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const held = { matches, count: 0, opened: promise };
      holds.push(held);
      return {
        get count() {
          return held.count;
        },
        release() {
          holds.splice(holds.indexOf(held), 1);
          resolve();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
}
