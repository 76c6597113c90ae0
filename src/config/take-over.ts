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

/** Puts the new values of keys that may change while running into what runs; all others stay. */
export function takeOver(running: Config, next: Config): TakeOver {
  const config = structuredClone(running);
  const changed: string[] = [];
  const waiting: string[] = [];
  for (const { path, reload } of keysOf(configSchema)) {
    const value = valueAt(next, path);
    if (isDeepStrictEqual(value, valueAt(running, path))) continue;
    (reload ? changed : waiting).push(path);
    if (reload) setAt(config, path, value);
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
