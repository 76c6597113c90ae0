import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './redis.ts';

/** A running balancer, and what it wrote of errors so far. */
export type Balancer = AsyncDisposable & { url: string; errors(): string };

/** Starts an nginx in front of several replicas, which knows of them only what their connections tell. */
export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-nginx-'));
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configOf(ports, port));
  const child = spawn('nginx', ['-e', 'stderr', '-p', folder, '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = once(child, 'close');
  while (!(await isOpen(port))) if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
  return {
    url: `http://127.0.0.1:${port}`,
    errors: () => errors,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** As docs/operating.md shows it, but that a replica is tried again soon: a test has no ten seconds. */
const configOf = (ports: readonly number[], port: number) => `
${process.getuid?.() === 0 ? '# Started by root, it would lose the right to its own folder.\nuser root;' : ''}
daemon off;
pid nginx.pid;
worker_processes 2;
events { worker_connections 2048; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream chatfiles {
    ${ports.map((each) => `server 127.0.0.1:${each} max_fails=1 fail_timeout=1s;`).join('\n    ')}
    keepalive 32;
  }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 11m;
    location / {
      proxy_pass http://chatfiles;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      # What has been sent is never sent again, but for GET and HEAD.
      proxy_next_upstream error timeout;
      # An answer comes at its client's pace, and not into a file: so the replica is busy for as long.
      proxy_max_temp_file_size 0;
    }
  }
}
`;

/** Whether something listens on a port of this machine; a moment passes when nothing does. */
export async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return new Promise((resolve) => setTimeout(resolve, 20, false));
  } finally {
    socket.destroy();
  }
}
