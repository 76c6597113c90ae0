import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOpen } from '../../test/kit/nginx.ts';
import { freePort } from '../../test/kit/redis.ts';
import type { Server } from './processes.ts';

/** What nginx stands in front of, how much that allows in a second, if anything is to be held back, and on which core. */
export type NginxPlan = { upstreamUrl: string; perSecond?: number; core?: string };

/**
 * nginx as one would set it up for this: files cached by address and secret, each token checked by a request of its own,
 * and what was said of a token cached as well. What goes upstream passes a second server, which spreads it out.
 */
export async function startNginx(plan: NginxPlan): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-nginx-'));
  const ports = { front: await freePort(), egress: await freePort() };
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configOf(plan, ports));
  const command = ['nginx', '-e', 'stderr', '-p', folder, '-c', file];
  const [program = '', ...rest] = plan.core === undefined ? command : ['taskset', '-c', plan.core, ...command];
  const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'ignore'] });
  const ended = once(child, 'close');
  const end = async () => {
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  while (!(await isOpen(ports.front))) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
  }
  return { url: `http://127.0.0.1:${ports.front}`, pid: child.pid ?? 0, end, [Symbol.asyncDispose]: end };
}

const configOf = ({ upstreamUrl, perSecond }: NginxPlan, { front, egress }: { front: number; egress: number }) => `
${process.getuid?.() === 0 ? '# Started by root, it would lose the right to its own folder.\nuser root;' : ''}
daemon off;
pid nginx.pid;
worker_processes 1;
events { worker_connections 8192; }
http {
  access_log /dev/null combined buffer=64k;
  proxy_cache_path files levels=1:2 keys_zone=files:16m;
  proxy_cache_path grants levels=1:2 keys_zone=grants:16m;
  keepalive_requests 1000000000;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_read_timeout 120s;
  proxy_cache_lock on;
  proxy_cache_lock_timeout 60s;
  proxy_cache_lock_age 60s;
  limit_req_zone $server_name zone=egress:1m rate=${perSecond ?? 1}r/s;
  upstream easemob { server ${new URL(upstreamUrl).host}; keepalive 64; }
  upstream egress { server 127.0.0.1:${egress}; keepalive 64; }
  server {
    listen 127.0.0.1:${front} backlog=4096;
    location / {
      auth_request /-/check;
      proxy_cache files;
      proxy_cache_key "$uri $http_share_secret $http_thumbnail";
      proxy_cache_valid 200 7d;
      add_header X-Cache $upstream_cache_status;
      proxy_pass http://egress;
    }
    location = /-/check {
      internal;
      proxy_cache grants;
      proxy_cache_key $http_authorization;
      proxy_cache_valid 200 206 300s;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Range bytes=0-0;
      proxy_pass http://egress$request_uri;
    }
  }
  server {
    listen 127.0.0.1:${egress} backlog=4096;
    server_name egress;
    access_log off;
    ${perSecond === undefined ? '' : 'limit_req zone=egress burst=100000;'}
    location / { proxy_buffering off; proxy_pass http://easemob; }
  }
}
`;
