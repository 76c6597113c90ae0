import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { onTestFinished } from 'vitest';
import type { Identity } from './certificates.ts';

/** One CONNECT as the proxy got it. */
export type Tunnel = { target: string; headers: IncomingHttpHeaders; bytesUp: number };

/** A corporate proxy: it opens tunnels by CONNECT, and does nothing else. */
export type ConnectProxy = {
  url: string;
  port: number;
  /** All it was asked for, also what it refused. */
  asked: Tunnel[];
  /** Requests that were no CONNECT: there must be none. */
  others: string[];
  /** How many tunnels are open. */
  readonly open: number;
  /** What it does with the next ones: a status to refuse with, or… */
  mood: 'open' | 'hang' | 'close' | 'babble' | number;
  /** Cuts every tunnel. */
  cut(): void;
  /** Goes on with those that it let hang. */
  goOn(): void;
};

/** What a proxy may be given: `user:password` to ask for, a certificate to speak TLS with, and the ports behind names that exist only for it. */
export type ConnectProxyOptions = {
  credentials?: string;
  identity?: Identity;
  hosts?: Record<string, number>;
};

/** Starts a proxy on this machine for one test. */
export async function startConnectProxy({
  credentials,
  identity,
  hosts = {},
}: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const asked: Tunnel[] = [];
  const others: string[] = [];
  const sockets = new Set<Duplex>();
  const waiting: (() => void)[] = [];
  let open = 0;
  const server = identity ? createSecureServer({ key: identity.key, cert: identity.cert }) : createServer();
  server.on('request', (request, answer) => {
    others.push(`${request.method} ${request.url}`);
    answer.writeHead(400).end();
  });
  server.on(identity ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.on('connect', (request: IncomingMessage, near: Duplex, head: Buffer) => {
    const target = request.url ?? '';
    const tunnel: Tunnel = { target, headers: request.headers, bytesUp: 0 };
    asked.push(tunnel);
    const dig = () => digTo(target, near, head, tunnel, refuse);
    const refuse = (status: number) => {
      const body = '<html>error=reach_limit</html>';
      near.end(`HTTP/1.1 ${status} No\r\nRetry-After: 1\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    };
    const expected = `Basic ${Buffer.from(credentials ?? '').toString('base64')}`;
    if (credentials !== undefined && request.headers['proxy-authorization'] !== expected) return refuse(407);
    if (typeof proxy.mood === 'number') return refuse(proxy.mood);
    if (proxy.mood === 'hang') return void waiting.push(dig);
    if (proxy.mood === 'close') return void near.destroy();
    if (proxy.mood === 'babble') return void near.end('hello\r\n\r\n');
    dig();
  });
  const digTo = (target: string, near: Duplex, head: Buffer, tunnel: Tunnel, refuse: (status: number) => void) => {
    const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(target) ?? [];
    const far = connect(hosts[host] ?? Number(port), host in hosts ? '127.0.0.1' : host.replace(/^\[|\]$/g, ''));
    let isOpen = false;
    far.on('error', () => (isOpen ? near.destroy() : refuse(502)));
    far.on('connect', () => {
      isOpen = true;
      open += 1;
      near.write('HTTP/1.1 200 Connection established\r\nVia: 1.1 corporate\r\n\r\n');
      if (head.length > 0) far.write(head);
      near.on('data', (bytes: Buffer) => {
        tunnel.bytesUp += bytes.length;
      });
      near.pipe(far).pipe(near);
    });
    const end = () => {
      if (isOpen) open -= 1;
      isOpen = false;
      near.destroy();
      far.destroy();
    };
    near.on('close', end).on('error', end);
    far.on('close', () => isOpen && near.destroy());
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(async () => {
    server.close();
    cut();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  const proxy: ConnectProxy = {
    url: `${identity ? 'https' : 'http'}://${identity ? 'proxy.test' : '127.0.0.1'}:${port}`,
    port,
    asked,
    others,
    get open() {
      return open;
    },
    mood: 'open',
    cut,
    goOn() {
      for (const dig of waiting.splice(0)) dig();
    },
  };
  return proxy;
}
