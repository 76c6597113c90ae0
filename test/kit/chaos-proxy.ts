import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy that does to its connections what networks do. */
export type ChaosProxy = AsyncDisposable & {
  port: number;
  /** Bytes arrive so much later, each way, in ms. */
  delayMs: number;
  /** Bytes vanish, each way; a connection that lost any stays, and never works again. */
  swallows: boolean;
  /** Of the next answer only so many bytes arrive, and then the connection is cut. */
  cutAfter: number | undefined;
  /** Cuts every connection, and accepts none until `accept` is called. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
};

/** Starts a proxy before a port of this machine. */
export async function startChaosProxy(target: number): Promise<ChaosProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    let isDead = false;
    for (const [from, to, isAnswer] of [
      [near, far, false],
      [far, near, true],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.on('data', (bytes) => {
        isDead ||= proxy.swallows;
        if (isDead) return;
        const cut = isAnswer ? proxy.cutAfter : undefined;
        if (cut !== undefined) proxy.cutAfter = undefined;
        setTimeout(() => {
          if (to.destroyed) return;
          if (cut === undefined) to.write(bytes);
          else to.end(bytes.subarray(0, cut), () => to.destroy());
        }, proxy.delayMs);
      });
    }
  });
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const refuse = async () => {
    if (!server.listening) return;
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  };
  const proxy: ChaosProxy = {
    port: await listen(0),
    delayMs: 0,
    swallows: false,
    cutAfter: undefined,
    refuse,
    async accept() {
      if (!server.listening) await listen(proxy.port);
    },
    [Symbol.asyncDispose]: refuse,
  };
  return proxy;
}
