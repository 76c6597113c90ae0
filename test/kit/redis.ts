import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

/** A Redis of a test's own, on a port of its own; it keeps nothing on disk. */
export type TestRedis = AsyncDisposable & {
  url: string;
  port: number;
  /** Kills it; what it held is lost. */
  stop(): Promise<void>;
  /** SIGSTOP pauses it, SIGCONT lets it go on. */
  signal(signal: NodeJS.Signals): void;
  /** Starts it anew and empty, on the same port. */
  restart(): Promise<void>;
};

/** Starts a Redis, and waits until it answers. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort();
  let server = await launch(port);
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop,
    signal: (signal) => void server.kill(signal),
    async restart() {
      await stop();
      server = await launch(port);
    },
    [Symbol.asyncDispose]: stop,
  };
}

async function launch(port: number): Promise<ChildProcess> {
  const options = { port, bind: '127.0.0.1', save: '', appendonly: 'no', loglevel: 'warning' };
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawn('redis-server', flags, { stdio: 'ignore' });
  await once(server, 'spawn');
  while (!(await answers(port))) {
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}`);
  }
  return server;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write('PING\r\n');
    const [reply] = (await once(socket, 'data')) as [Buffer];
    return reply.toString().startsWith('+PONG');
  } catch {
    // Not there yet.
    return new Promise((resolve) => setTimeout(resolve, 10, false));
  } finally {
    socket.destroy();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
