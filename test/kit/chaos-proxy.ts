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
  /** Cuts every connection, and each new one at once, until `accept` is called; the port stays its own. */
  refuse(): void;
  accept(): void;
};

/** Starts a proxy before a port of this machine. */
export async function startChaosProxy(target: number): Promise<ChaosProxy> {
  const sockets = new Set<Socket>();
  let refuses = false;
  const server = createServer((near) => {
    if (refuses) {
      near.destroy();
      return;
    }
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
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cutAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const proxy: ChaosProxy = {
    port: (server.address() as AddressInfo).port,
    delayMs: 0,
    swallows: false,
    cutAfter: undefined,
    refuse() {
      refuses = true;
      cutAll();
    },
    accept() {
      refuses = false;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      cutAll();
      await once(server, 'close');
    },
  };
  return proxy;
}
