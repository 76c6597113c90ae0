import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createEmulator } from '../../src/emulator/emulator.ts';
import type { Emulator, EmulatorInput } from '../../src/emulator/emulator.ts';

/** An emulator with a user of `acme/chat` logged in, and the calls that tests make most. */
export type Cloud = Emulator & {
  base: string;
  token: string;
  /** Headers of a logged-in user, with others. */
  as(headers?: Record<string, string>): { headers: Record<string, string> };
  upload(bytes: Uint8Array<ArrayBuffer>, options?: UploadOptions): Promise<Response>;
  /** Uploads and returns the entity. */
  store(bytes: Uint8Array<ArrayBuffer>, options?: UploadOptions): Promise<{ uuid: string; 'share-secret': string }>;
  get(uuid: string, headers?: Record<string, string>, query?: string): Promise<Response>;
  admin(method: string, path: string, body?: unknown): Promise<Response>;
};

export type UploadOptions = {
  headers?: Record<string, string>;
  type?: string;
  before?: Record<string, string>;
  after?: Record<string, string>;
};

/** Starts it without a limiter, which tests of other things would run into. */
export async function startCloud(input: EmulatorInput = {}): Promise<Cloud> {
  const emulator = await createEmulator({ limiter: { algorithm: 'off' }, ...input });
  const token = emulator.issueToken('acme', 'chat', { username: 'ann' });
  const base = `${emulator.url}/acme/chat`;
  const as = (headers: Record<string, string> = {}) => ({ headers: { Authorization: `Bearer ${token}`, ...headers } });

  const upload = (bytes: Uint8Array<ArrayBuffer>, { headers, type, before, after }: UploadOptions = {}) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(before ?? {})) form.append(name, value);
    form.append('file', new Blob([bytes], type === undefined ? {} : { type }), 'picture');
    for (const [name, value] of Object.entries(after ?? {})) form.append(name, value);
    return fetch(`${base}/chatfiles`, { method: 'POST', body: form, ...as(headers) });
  };

  return {
    ...emulator,
    base,
    token,
    as,
    upload,
    async store(bytes, options) {
      const { entities } = await json(await upload(bytes, options));
      return entities[0];
    },
    get: (uuid, headers, query = '') => fetch(`${base}/chatfiles/${uuid}${query}`, as(headers)),
    admin: (method, path, body) =>
      fetch(emulator.adminUrl + path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
  };
}

/** An answer's JSON, for tests that look into it. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests compare what they pick out of it
export const json = async (response: Response): Promise<any> => response.json();

/** An answer's bytes. */
export const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());

const run = promisify(execFile);

/** Runs curl and returns what it printed; its exit code must be 0 unless `code` names another. */
export async function curl(...args: string[]): Promise<string> {
  const { stdout } = await run('curl', ['-sS', '--max-time', '10', ...args], { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** What went wrong for curl: its exit code, or 0. */
export async function curlCode(...args: string[]): Promise<number> {
  return curl('-o', '/dev/null', ...args).then(
    () => 0,
    (failure: { code: number }) => failure.code,
  );
}

/** A folder for one test's files. */
export async function scratch(): Promise<
  AsyncDisposable & { path: string; put(name: string, bytes: Uint8Array): Promise<string> }
> {
  const path = await mkdtemp(join(tmpdir(), 'emulator-test-'));
  return {
    path,
    async put(name, bytes) {
      await writeFile(join(path, name), bytes);
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** A socket to the emulator, for what no client library would send. */
export async function rawSocket(
  url: string,
): Promise<Disposable & { socket: Socket; send(text: string): void; all(): Promise<string> }> {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return {
    socket,
    send: (bytes) => void socket.write(bytes, 'latin1'),
    all: () => new Promise((resolve) => (socket.closed ? resolve(text) : socket.once('close', () => resolve(text)))),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** Waits until something is so; fails when it never is. */
export async function eventually(isSo: () => boolean | Promise<boolean>, forMs = 5_000): Promise<void> {
  const end = performance.now() + forMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error('it did not come to be so');
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
}

/** The files in the emulator's own folder, when it was told to make it inside `parent`. */
export async function filesIn(parent: string): Promise<string[]> {
  const entries = await readdir(parent, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

/** One `file` part as a multipart body, for raw requests. */
export const multipart = (content: string, boundary = 'b'): string =>
  `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n${content}\r\n--${boundary}--\r\n`;
