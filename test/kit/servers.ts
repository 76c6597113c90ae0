import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * A server program that tests run for real, and the Debian package that has it; `part` is a file without which the program
 * is there, but not all of it.
 */
export type Program = { command: string; debianPackage: string; part?: string };

/** Where Debian puts the part of nginx that passes connections on. */
export const NGINX_STREAM = '/usr/lib/nginx/modules/ngx_stream_module.so';

/** The server programs that the tests need. */
export const PROGRAMS: Program[] = [
  { command: 'redis-server', debianPackage: 'redis-server' },
  { command: 'openssl', debianPackage: 'openssl' },
  { command: 'clamd', debianPackage: 'clamav-daemon' },
  { command: 'chromium', debianPackage: 'chromium' },
  { command: 'nginx', debianPackage: 'nginx' },
  { command: 'nginx', debianPackage: 'libnginx-mod-stream', part: NGINX_STREAM },
];

/** Whether a command can be started from this machine's PATH. */
export function isOnPath(command: string, path = process.env['PATH'] ?? ''): boolean {
  return path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Makes sure that every program can be started; throws one line that says what to install where it cannot help itself. */
export function requirePrograms(programs: Program[]): void {
  const lacks = ({ command, part }: Program) => !isOnPath(command) || (part !== undefined && !existsSync(part));
  const missing = programs.filter(lacks);
  if (missing.length === 0) return;
  const packages = missing.map(({ debianPackage }) => debianPackage).join(' ');
  const line = `The tests need ${missing.map(({ command, part }) => part ?? command).join(', ')}: apt-get install ${packages}`;
  const canInstall = process.getuid?.() === 0 && existsSync('/etc/debian_version') && isOnPath('apt-get');
  if (!canInstall) throw new Error(line);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'pipe' });
    execFileSync(
      'apt-get',
      ['install', '-y', '-qq', '--no-install-recommends', ...missing.map((p) => p.debianPackage)],
      {
        env,
        stdio: 'pipe',
      },
    );
  } catch (cause) {
    throw new Error(`${line} (installing it here failed)`, { cause });
  }
  const still = missing.filter(lacks);
  if (still.length > 0) throw new Error(line);
}
