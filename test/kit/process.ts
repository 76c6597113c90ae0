import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** A gateway, or an emulator, in a process of its own. */
export type Started = AsyncDisposable & {
  pid: number;
  /** What it has written so far, on both of its outputs. */
  output(): string;
  /** Asks it to end, and gives everything that it ever wrote. */
  stop(): Promise<string>;
  /** Its exit code, once it has ended; -1 where a signal ended it. */
  exited: Promise<number>;
};

/** A gateway in a process of its own. */
export type GatewayProcess = Started & { url: string; adminUrl: string };

/**
 * Starts `main.ts` with these arguments, in a temporary folder of its own that goes when it has ended, and waits until its output matches; a process that ends before fails.
 */
async function start(
  args: string[],
  started: RegExp,
  env: Record<string, string> = {},
): Promise<Started & { match: RegExpExecArray }> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-process-'));
  const child: ChildProcess = spawn(process.execPath, ['--max-semi-space-size=4', MAIN, ...args], {
    env: { PATH: process.env['PATH'] ?? '', TMPDIR: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const exited = once(child, 'exit').then(([code]) => (typeof code === 'number' ? code : -1));
  const ended = once(child, 'close').then(() => rm(folder, { recursive: true, force: true }));
  const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
  const onOutput = (chunk: Buffer) => {
    text += chunk.toString();
    const match = started.exec(text);
    if (match) resolve(match);
  };
  child.stdout?.on('data', onOutput);
  child.stderr?.on('data', onOutput);
  child.once('close', () => reject(new Error(`the process ended: ${text}`)));
  const match = await promise;
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    await ended;
    return text;
  };
  return {
    match,
    pid: child.pid ?? 0,
    output: () => text,
    exited,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** Starts a gateway on free ports, with these keys and variables, and a configuration file if one is named. */
export async function startGatewayProcess(
  set: string[],
  env: Record<string, string> = {},
  file?: string,
): Promise<GatewayProcess> {
  const keys = ['listen.port=0', 'admin.port=0', 'drain.delayMs=0', ...set].flatMap((key) => ['--set', key]);
  const from = file === undefined ? [] : ['--config', file];
  const started = await start(['start', ...from, ...keys], /"listen":"([^"]+)","admin":"([^"]+)"/, env);
  const [, url = '', adminUrl = ''] = started.match;
  return { ...started, url, adminUrl };
}

/** Starts an emulator on free ports. */
export async function startEmulatorProcess(): Promise<Started & { url: string; adminUrl: string }> {
  const started = await start(
    ['emulate', '--port', '0', '--admin-port', '0'],
    /emulator on (\S+), its controls on (\S+)/,
  );
  const [, url = '', adminUrl = ''] = started.match;
  return { ...started, url, adminUrl };
}
