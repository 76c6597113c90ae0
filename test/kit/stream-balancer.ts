import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { freePort } from './redis.ts';
import { NGINX_STREAM } from './servers.ts';

/** Starts an nginx for one test that passes connections on to a port of this machine, each with a PROXY header in front. */
export async function startStreamBalancer(target: number): Promise<{ port: number }> {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), 'chatfiles-nginx-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  await writeFile(
    join(dir, 'nginx.conf'),
    `load_module ${NGINX_STREAM};\npid ${dir}/nginx.pid;\nerror_log stderr;\nevents {}\n` +
      `stream { server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${target}; proxy_protocol on; } }\n`,
  );
  const args = ['-p', dir, '-e', 'stderr', '-c', join(dir, 'nginx.conf'), '-g', 'daemon off; master_process off;'];
  const server = spawn('nginx', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  server.stderr.on('data', (chunk) => {
    said += String(chunk);
  });
  const gone = once(server, 'exit');
  onTestFinished(async () => {
    server.kill('SIGKILL');
    await gone;
  });
  while (!(await isListening(port))) {
    if (server.exitCode !== null) throw new Error(`nginx ended with ${server.exitCode}: ${said}`);
  }
  return { port };
}

/** Whether somebody takes connections there. */
async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return new Promise((resolve) => setTimeout(resolve, 10, false));
  } finally {
    socket.destroy();
  }
}
