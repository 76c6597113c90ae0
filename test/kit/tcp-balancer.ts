import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Balancer } from './nginx.ts';

/** A balancer that knows nothing of HTTP: each connection goes to the next replica that takes one. */
export async function startTcpBalancer(ports: readonly number[]): Promise<Balancer> {
  let turn = 0;
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    open.add(client);
    client.on('error', () => client.destroy()).once('close', () => open.delete(client));
    const tryNext = (left: number) => {
      turn += 1;
      const replica = connect({ port: ports[turn % ports.length] ?? 0, host: '127.0.0.1', allowHalfOpen: true });
      let isConnected = false;
      replica.once('connect', () => {
        isConnected = true;
        client.pipe(replica).pipe(client);
      });
      replica.on('error', () => {
        if (!isConnected && left > 1) tryNext(left - 1);
        else client.resetAndDestroy();
      });
      client.once('close', () => replica.destroy());
    };
    tryNext(ports.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    errors: () => '',
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
