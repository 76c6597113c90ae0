import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Arrival } from './arrival.ts';
import type { UpstreamSettings } from './upstream.ts';

/** A process that listens somewhere; disposing kills it. */
export type Listening = AsyncDisposable & { url: string; kill: () => Promise<void> };

const fileOf = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Starts a program, and waits until what it prints names its address. */
export async function listen(command: string, args: string[], address: RegExp): Promise<Listening> {
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = '';
  const read = (chunk: Buffer) => {
    text += chunk.toString();
    const url = address.exec(text)?.[1];
    if (url === undefined) return;
    // From here on its log is only thrown away.
    child.stdout?.off('data', read).resume();
    resolve(url);
  };
  child.stdout?.on('data', read);
  child.once('close', () => reject(new Error(`${command} ${args.join(' ')} ended: ${text}`)));
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  return { url: await promise, kill, [Symbol.asyncDispose]: kill };
}

/** Starts a gateway on free ports, with these keys. */
export const startGateway = (set: string[]): Promise<Listening> =>
  listen(
    process.execPath,
    [
      fileOf('../../src/main.ts'),
      'start',
      ...['listen.port=0', 'admin.port=0', ...set].flatMap((key) => ['--set', key]),
    ],
    /"listen":"([^"]+)"/,
  );

/** Starts one of the bench's own programs. */
export const startOwn = (name: 'upstream' | 'rival', ...args: string[]): Promise<Listening> =>
  listen(process.execPath, [fileOf(`./${name}.ts`), ...args], /listening on (\S+)/);

/** The upstream, and its controls. */
export type Upstream = Listening & {
  set(settings: UpstreamSettings): Promise<void>;
  takeArrivals(): Promise<Arrival[]>;
};

/** Starts the upstream. */
export async function startUpstream(settings: UpstreamSettings): Promise<Upstream> {
  const upstream = await startOwn('upstream');
  const set = async (changed: UpstreamSettings) => {
    await fetch(`${upstream.url}/-/settings`, { method: 'PUT', body: JSON.stringify(changed) });
  };
  await set(settings);
  return {
    ...upstream,
    set,
    takeArrivals: async () => (await (await fetch(`${upstream.url}/-/arrivals`)).json()) as Arrival[],
  };
}
