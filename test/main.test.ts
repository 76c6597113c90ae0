import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { freePort } from './kit/redis.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAIN = join(ROOT, 'src/main.ts');
const run = promisify(execFile);

type Ended = { code: number | null; stdout: string; stderr: string };

/** A temporary folder for one child, gone with the test: whoever is killed cannot remove what it made. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-main-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs the process to its end. */
async function runMain(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  const childEnv = { PATH: process.env['PATH'], TMPDIR: await temporaryFolder(), ...env };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env: childEnv }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

/** Starts the process and waits for the output that a pattern matches. */
async function startMain(args: string[], until: RegExp) {
  const folder = await temporaryFolder();
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], TMPDIR: folder },
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  let output = '';
  for await (const line of createInterface({ input: child.stdout })) {
    output += `${line}\n`;
    if (until.test(output)) break;
  }
  if (!until.test(output)) throw new Error(`it ended, or was silent, before it said ${until.source}`);
  return { child, output, exited, folder };
}

const FREE = ['listen.port', 'admin.port', 'emulator.port', 'emulator.adminPort', 'drain.delayMs'].flatMap((key) => [
  '--set',
  `${key}=0`,
]);

describe('a first visit', () => {
  it('works by pasting the printed lines into another terminal', async () => {
    const { child, output, exited } = await startMain(['start', '--emulator', ...FREE], /ls -l picture\.jpg/);
    const lines = output.slice(output.indexOf("echo '1."));
    const folder = await mkdtemp(join(tmpdir(), 'first-visit-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await run('bash', ['-euo', 'pipefail', '-c', lines], { cwd: folder });

    const sample = await readFile(join(ROOT, 'samples/picture.jpg'));
    expect((await readFile(join(folder, 'picture.jpg'))).equals(sample)).toBe(true);
    const { width, height } = await sharp(join(folder, 'thumbnail.jpg')).metadata();
    expect(Math.max(width, height)).toBe(170);

    child.kill('SIGTERM');
    expect(await exited).toBe(0);
  });
});

describe('starting', () => {
  it('without an upstream ends with a message that names the key', async () => {
    const { code, stderr } = await runMain(['start']);
    expect(code).toBe(1);
    expect(stderr).toContain('upstream.url');
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it('takes the upstream from the environment', async () => {
    const { code, stderr } = await runMain(['start', '--set', 'listen.port=0'], {
      CHATFILES_UPSTREAM__URL: 'http://files.example.com',
    });
    expect(code).toBe(1);
    expect(stderr).toContain('upstream.allowPlaintext');
  });

  it('on a port that is taken says which key to change', async () => {
    const { output } = await startMain(['start', '--emulator', ...FREE], /"listen":"[^"]+"/);
    const taken = /"listen":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(output)?.[1] ?? '';
    const { code, stderr } = await runMain(['start', '--emulator', ...FREE, '--set', `listen.port=${taken}`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(
        `^cannot listen on 127\\.0\\.0\\.1:${taken} \\(EADDRINUSE\\): choose another listen\\.host or listen\\.port\\n$`,
      ),
    );
  });

  it('drains on the first signal, and ends at once on the second, with nothing left behind', async () => {
    const { child, output, exited, folder } = await startMain(['start', '--emulator', ...FREE], /"admin":"[^"]+"/);
    const { listen, admin } = JSON.parse(output.split('\n')[0] ?? '') as { listen: string; admin: string };
    const socket = connect(Number(new URL(listen).port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    // A client that asks for leave to send its body, gets it, and then sends nothing: an exchange that does not end.
    socket.write(
      `POST /o/a/chatfiles HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\nExpect: 100-continue\r\n` +
        `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100\r\n\r\n`,
    );
    await once(socket, 'data');
    child.kill('SIGTERM');
    await vi.waitFor(async () => expect((await fetch(`${admin}/readyz`)).status).toBe(503), { timeout: 5000 });
    expect((await fetch(`${admin}/livez`)).status).toBe(200);
    expect(await readdir(folder)).not.toEqual([]);
    child.kill('SIGTERM');
    expect(await exited).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  });
});

/** A client that asks for leave to send its body, gets it, and then sends nothing: an exchange that does not end. */
async function hang(listen: string) {
  const socket = connect(Number(new URL(listen).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  socket.write(
    `POST /o/a/chatfiles HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\nExpect: 100-continue\r\n` +
      `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100\r\n\r\n`,
  );
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  expect(chunk.toString()).toContain('100 Continue');
  return socket;
}

const started = async (...set: string[]) => {
  const flags = set.flatMap((key) => ['--set', key]);
  const running = await startMain(['start', '--emulator', ...FREE, ...flags], /"admin":"[^"]+"/);
  const { listen, admin } = JSON.parse(running.output.split('\n')[0] ?? '') as { listen: string; admin: string };
  return { ...running, listen, admin };
};
const rest = async (stream: AsyncIterable<unknown>): Promise<string> => {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
};

describe('ending', () => {
  it('with code 0 where everybody had an answer, be it that there is no time for more', async () => {
    const { child, listen, exited } = await started('drain.deadlineMs=1500');
    const socket = await hang(listen);
    const answer = rest(socket);
    child.kill('SIGTERM');
    expect(await answer).toContain('HTTP/1.1 503');
    expect(await exited).toBe(0);
  });

  it('without the delay where Ctrl-C asks for it, also when it comes twice at once, as npm makes it', async () => {
    const { child, listen, admin, exited } = await started('drain.delayMs=60000', 'drain.deadlineMs=90000');
    const socket = await hang(listen);
    child.kill('SIGINT');
    child.kill('SIGINT');
    await vi.waitFor(async () => expect((await fetch(`${admin}/readyz`)).status).toBe(503), { timeout: 5000 });
    socket.destroy();
    expect(await exited).toBe(0);
  });

  it('at once where it is still starting', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    onTestFinished(() => void silent.close());
    await once(silent, 'listening');
    const { port: redis } = silent.address() as AddressInfo;
    const admin = await freePort();
    const args = [
      'start',
      '--emulator',
      ...FREE,
      '--set',
      `admin.port=${admin}`,
      '--set',
      `redis.url=redis://127.0.0.1:${redis}`,
    ];
    const child = spawn(process.execPath, [MAIN, ...args], {
      stdio: 'ignore',
      env: { TMPDIR: await temporaryFolder() },
    });
    const exited = once(child, 'exit');
    await vi.waitFor(
      async () => {
        const response = await fetch(`http://127.0.0.1:${admin}/startupz`);
        expect([response.status, await response.text()]).toEqual([503, expect.stringMatching(/^starting\n/)]);
      },
      { timeout: 10_000, interval: 20 },
    );
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });
});

describe('the emulator alone', () => {
  it('says where it listens, and answers there', async () => {
    const { output } = await startMain(['emulate', '--port', '0', '--admin-port', '0'], /docs\/emulator\.md/);
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0] ?? '';
    const response = await fetch(`${url}/o/a/chatfiles/x`);
    expect(response.status).toBe(401);
  });

  it('refuses a port that is none', async () => {
    const { code, stderr } = await runMain(['emulate', '--port', 'http']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('whole number from 0 to 65535')]);
  });
});

describe('the launcher', () => {
  it('says in one line that Node is too old', async () => {
    const launcher = join(ROOT, 'bin/chatfiles-gateway.js');
    const old = `Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } });`;
    const asked = run(process.execPath, [
      '--import',
      `data:text/javascript,${encodeURIComponent(old)}`,
      launcher,
      'start',
    ]);
    await expect(asked).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^chatfiles-gateway needs Node 24 or newer.*\n$/),
    });
  });

  it('runs the gateway', async () => {
    const { stdout } = await run(process.execPath, [join(ROOT, 'bin/chatfiles-gateway.js'), '--help']);
    expect(stdout).toContain('emulate');
  });
});
