import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the one signature of this clamd looks for, and how it calls it. */
export const VIRUS = 'THIS-IS-WHAT-THE-TEST-CLAMD-LOOKS-FOR';
export const VIRUS_NAME = 'Chatfiles.Test.Signature.UNOFFICIAL';

/** A clamd of a test's own, on a socket of its own, with one signature that nobody has to download. */
export type TestClamd = AsyncDisposable & {
  address: string;
  /** SIGSTOP makes it hang, SIGCONT lets it go on. */
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
  restart(): Promise<void>;
};

/** Starts clamd, and waits until it answers. */
export async function startClamd(more: Record<string, string> = {}): Promise<TestClamd> {
  const dir = await mkdtemp(join(tmpdir(), 'clamd-'));
  const socket = join(dir, 'socket');
  const config = { LocalSocket: socket, DatabaseDirectory: dir, Foreground: 'yes', SelfCheck: '0', ...more };
  await writeFile(join(dir, 'own.ndb'), `Chatfiles.Test.Signature:0:*:${Buffer.from(VIRUS).toString('hex')}\n`);
  const lines = Object.entries(config).map(([name, value]) => `${name} ${value}\n`);
  await writeFile(join(dir, 'clamd.conf'), lines.join(''));
  const start = () => launch(join(dir, 'clamd.conf'), socket);
  let server = await start();
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
    await rm(socket, { force: true });
  };
  return {
    address: `unix:${socket}`,
    signal: (signal) => void server.kill(signal),
    stop,
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

async function launch(config: string, socket: string): Promise<ChildProcess> {
  const server = spawn('clamd', ['--config-file', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [server.stdout, server.stderr])
    stream.on('data', (bytes: Buffer) => void (said += String(bytes)));
  for (const deadline = Date.now() + 20_000; !(await pings(socket)); await sleep(20)) {
    if (server.exitCode !== null || Date.now() > deadline) throw new Error(`clamd has not started: ${said}`);
  }
  return server;
}

const pings = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ path });
    socket.on('connect', () => socket.write('zPING\0'));
    socket.on('data', (bytes) => resolve(bytes.toString().startsWith('PONG')));
    socket.on('error', () => resolve(false)).on('close', () => resolve(false));
    socket.setTimeout(1000, () => socket.destroy());
  });
