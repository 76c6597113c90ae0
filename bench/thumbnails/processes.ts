import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/kit/redis.ts';

/** A process that listens somewhere; disposing ends it. */
export type Server = AsyncDisposable & { url: string; pid: number; end: () => Promise<void> };

/** A gateway, its second port, and how long it took until that port said it was ready. */
export type Gateway = Server & { adminUrl: string; readyMs: number };

/** The core that servers under measure have for themselves; everything else goes to the other one. */
export const CORES = { server: '0', others: '1' } as const;

/** As the gateway's own start scripts and its image have it. */
const NODE_FLAGS = ['--max-semi-space-size=4'];

/** The operator's token at all gateways of the bench. */
export const OPERATOR_TOKEN = 'operator-of-the-bench';

const fileOf = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** How a process is started: on which core, if on a certain one, and with which flags of Node's. */
export type Start = { core?: string | undefined; flags?: string[]; cwd?: string };

/** Starts Node on a core; `taskset` becomes the process that it starts, so the id is right. */
function startNode(args: string[], stdout: 'ignore' | 'pipe', { core, flags = [], cwd }: Start): ChildProcess {
  const command = [process.execPath, ...NODE_FLAGS, ...flags, ...args];
  const [program = '', ...rest] = core === undefined ? command : ['taskset', '-c', core, ...command];
  return spawn(program, rest, {
    stdio: ['ignore', stdout, 'inherit'],
    env: { PATH: process.env['PATH'] ?? '' },
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** Tells how to end a child: asked first, since a gateway then closes what it holds. */
function endOf(child: ChildProcess): () => Promise<void> {
  const ended = once(child, 'close');
  return async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(late);
  };
}

/** Starts a gateway with these keys. Its log goes to /dev/null: what writing it costs counts, what becomes of it does not. */
export async function startGateway(set: string[], start: Start = {}): Promise<Gateway> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const keys = [`listen.port=${port}`, `admin.port=${adminPort}`, `admin.token=${OPERATOR_TOKEN}`, ...set];
  const args = [fileOf('../../src/main.ts'), 'start', ...keys.flatMap((key) => ['--set', key])];
  const startedAt = performance.now();
  const child = startNode(args, 'ignore', start);
  const end = endOf(child);
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  while (!(await isReady(adminUrl))) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
    await sleep(5);
  }
  const readyMs = performance.now() - startedAt;
  const url = `http://127.0.0.1:${port}`;
  return { url, adminUrl, pid: child.pid ?? 0, readyMs, end, [Symbol.asyncDispose]: end };
}

async function isReady(adminUrl: string): Promise<boolean> {
  try {
    return (await fetch(`${adminUrl}/readyz`)).ok;
  } catch {
    return false;
  }
}

/** What a program prints when it is there, with its origin. */
const OWN = /listening on (\S+)/;
const EMULATOR = /emulator on (\S+), its controls on (\S+)/;

async function listen(args: string[], says: RegExp, start: Start): Promise<Server & { told: RegExpExecArray }> {
  const child = startNode(args, 'pipe', start);
  const end = endOf(child);
  const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    const match = says.exec(text);
    if (match) resolve(match);
  });
  child.once('close', () => reject(new Error(`${args.join(' ')} ended: ${text}`)));
  const told = await promise;
  return { url: told[1] ?? '', told, pid: child.pid ?? 0, end, [Symbol.asyncDispose]: end };
}

/** Starts one of the bench's own servers. */
export const startOwn = (name: 'upstream' | 'bare', args: string[], start: Start = {}): Promise<Server> =>
  listen([fileOf(`./${name}.ts`), ...args], OWN, start);

/** Starts an emulator. */
export async function startEmulator(): Promise<Server & { adminUrl: string }> {
  const args = [fileOf('../../src/main.ts'), 'emulate', '--port', '0', '--admin-port', '0'];
  const server = await listen(args, EMULATOR, {});
  return { ...server, adminUrl: server.told[2] ?? '' };
}
