import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

/** The floors of the house: a file may import its own room and whatever lies lower; rooms of one floor do not see each other. */
const FLOORS: Record<string, number> = {
  '': 5, // the roof: files that stand in src itself
  config: 4, // reads what every room says of its keys
  server: 3,
  upstream: 2,
  policy: 1,
  quota: 1,
  cache: 1,
  access: 1,
  metrics: 1,
  tracing: 1,
  audit: 1,
  scan: 1,
  redis: 0.5, // the connection that several rooms share
};
/** Files of src itself that are ground, not roof: they see nothing of ours but each other. */
const GROUND = new Set([
  'errors.ts',
  'clock.ts',
  'logger.ts',
  'notice.ts',
  'health.ts',
  'log-line.ts',
  'request-log.ts',
  'scrub.ts',
  'quantity.ts',
  'pem.ts',
  'text-file.ts',
]);
/** The emulator stands apart: it sees nothing of ours, and only the roof sees it. */
const SHED = 'emulator';

const files = globSync('**/*.ts', { cwd: SRC }).map((path) => normalize(path));
const roomOf = (file: string) => (dirname(file) === '.' ? '' : (file.split('/')[0] ?? ''));
const floorOf = (file: string) => (GROUND.has(file) ? 0 : (FLOORS[roomOf(file)] ?? Number.NaN));

const importsOf = (file: string): { from: string; path: string }[] => {
  const source = readFileSync(join(SRC, file), 'utf8');
  return [...source.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, from = '']) => ({
    from,
    path: from.startsWith('.') ? relative(SRC, join(SRC, dirname(file), from)) : '',
  }));
};

function complaint(file: string, path: string): string | undefined {
  const [room, target] = [roomOf(file), roomOf(path)];
  if (path.startsWith('..')) return undefined;
  if (room === SHED || target === SHED)
    return room === target || room === '' ? undefined : `${file} and the emulator know each other: ${path}`;
  if (room === target && room !== '') return undefined;
  const [from, to] = [floorOf(file), floorOf(path)];
  if (Number.isNaN(from)) return `${file} stands in a room without a floor`;
  if (room === '' && target === '') return from >= to ? undefined : `${file} is ground and imports ${path}`;
  return to < from ? undefined : `${file} reaches up or across to ${path}`;
}

describe('the house', () => {
  it('imports only downwards', () => {
    const complaints = files.flatMap((file) =>
      importsOf(file).flatMap(({ path }) => (path === '' ? [] : (complaint(file, path) ?? []))),
    );
    expect(complaints).toEqual([]);
  });

  it.each([
    ['express', ['server', SHED]],
    ['helmet', ['server']],
    ['cors', ['server', SHED]],
    ['jsonc-parser', ['server']],
    ['http-proxy-middleware', ['upstream']],
    ['https-proxy-agent', ['upstream']],
    ['proxy-from-env', ['']],
    ['ioredis', ['redis']],
    ['rate-limiter-flexible', ['quota']],
    ['lru-cache', ['cache', 'access']],
    ['yaml', ['config']],
    ['file-type', ['policy']],
    ['rotating-file-stream', ['audit']],
    ['commander', ['']],
    ['pino', ['']],
    ['prom-client', ['metrics']],
    ['@opentelemetry/api', ['tracing']],
    ['@opentelemetry/sdk-trace', ['tracing']],
    ['@opentelemetry/resources', ['tracing']],
    ['@opentelemetry/exporter-trace-otlp-http', ['tracing']],
  ])('imports %s in its one room', (library, rooms) => {
    const elsewhere = files.filter(
      (file) => importsOf(file).some(({ from }) => from === library) && !rooms.includes(roomOf(file)),
    );
    expect(elsewhere).toEqual([]);
  });

  it('has no room without a meaning', () => {
    const drawers = /^(utils?|helpers?|common|types?|constants?|misc|lib)(\.ts)?$/;
    expect(files.filter((file) => file.split('/').some((part) => drawers.test(part)))).toEqual([]);
  });

  it('reads the environment in one place', () => {
    const readers = files.filter((file) => /process\.env\b/.test(readFileSync(join(SRC, file), 'utf8')));
    expect(readers).toEqual(['main.ts']);
  });
});
