import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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

/** Starts a Redis, with more options where some are given, and waits until it answers. */
export async function startRedis(more: Record<string, string> = {}): Promise<TestRedis> {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), 'chatfiles-redis-'));
  const start = () => launch(port, { dir, ...more });
  let server = await start();
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
      server = await start();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Starts a Sentinel that watches a master under the name of `main`. */
export async function startSentinel(masterPort: number): Promise<AsyncDisposable & { port: number }> {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), 'chatfiles-sentinel-'));
  const config = join(dir, 'sentinel.conf');
  await writeFile(
    config,
    `port ${port}\nbind 127.0.0.1\ndir ${dir}\nsentinel monitor main 127.0.0.1 ${masterPort} 1\n` +
      'sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n',
  );
  const server = await spawned(port, [config, '--sentinel']);
  return {
    port,
    async [Symbol.asyncDispose]() {
      const gone = once(server, 'exit');
      server.kill('SIGKILL');
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function launch(port: number, more: Record<string, string>): Promise<ChildProcess> {
  const options = { port, bind: '127.0.0.1', save: '', appendonly: 'no', loglevel: 'warning', ...more };
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return spawned(port, flags);
}

async function spawned(port: number, flags: string[]): Promise<ChildProcess> {
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

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
