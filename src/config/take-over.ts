import { isDeepStrictEqual } from 'node:util';
import { keysOf, valueAt } from './keys.ts';
import { type Config, configSchema } from './schema.ts';

/** What a running gateway makes of a newly read configuration: what it then runs by, and by their paths the keys whose values differ. */
export type TakeOver = {
  config: Config;
  /** Taken into use. */
  changed: string[];
  /** Only a restart takes them into use. */
  waiting: string[];
};

/** Keys that mean nothing without another one: while that one waits for a restart, they wait with it. */
const TOGETHER: readonly (readonly [key: string, other: string])[] = [
  ['listen.proxyProtocolFrom', 'listen.proxyProtocol'],
  ['listen.tls.clientCaFile', 'listen.tls.clientCertificates'],
];

/** Puts the new values of keys that may change while running into what runs; all others stay. */
export function takeOver(running: Config, next: Config): TakeOver {
  const config = structuredClone(running);
  const changed: string[] = [];
  const waiting: string[] = [];
  const differs = (path: string) => !isDeepStrictEqual(valueAt(next, path), valueAt(running, path));
  // Beginning or ending TLS makes another server.
  const isOtherServer = (running.listen.tls.certFile === undefined) !== (next.listen.tls.certFile === undefined);
  const waits = (path: string) =>
    (isOtherServer && path.startsWith('listen.tls.')) ||
    TOGETHER.some(([key, other]) => key === path && differs(other));
  for (const { path, reload } of keysOf(configSchema)) {
    if (!differs(path)) continue;
    const isTaken = reload && !waits(path);
    (isTaken ? changed : waiting).push(path);
    if (isTaken) setAt(config, path, valueAt(next, path));
  }
  return { config, changed, waiting };
}

type Section = Record<string, unknown>;

function setAt(config: Config, path: string, value: unknown): void {
  const names = path.split('.');
  const last = names.pop() ?? '';
  const section = names.reduce<unknown>((outer, name) => (outer as Section)[name], config) as Section;
  section[last] = value;
}
