import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOpen } from '../../test/kit/nginx.ts';
import { freePort } from '../../test/kit/redis.ts';
import type { Listening } from './processes.ts';

/** One nginx, through which all replicas go: 30 requests a second, whatever is more waits in its line. */
export async function startNginx(upstreamUrl: string): Promise<Listening> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-nginx-'));
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configOf(upstreamUrl, port));
  const child = spawn('nginx', ['-e', 'stderr', '-p', folder, '-c', file], { stdio: ['ignore', 'ignore', 'ignore'] });
  const ended = once(child, 'close');
  const kill = async () => {
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  while (!(await isOpen(port))) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
  }
  return { url: `http://127.0.0.1:${port}`, kill, [Symbol.asyncDispose]: kill };
}

const configOf = (upstreamUrl: string, port: number) => `
daemon off;
pid nginx.pid;
worker_processes 1;
events { worker_connections 8192; }
http {
  access_log off;
  proxy_max_temp_file_size 0;
  limit_req_zone $server_name zone=egress:1m rate=30r/s;
  upstream easemob { server ${new URL(upstreamUrl).host}; keepalive 64; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    server_name egress;
    limit_req zone=egress burst=100000;
    location / {
      proxy_pass http://easemob;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`;
