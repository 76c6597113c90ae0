/**
 * The configuration as it takes effect, written as a file that could be loaded again, with the origin of every value.
 *
 * What must not be seen is written behind a number sign: a file with a masked password in it would be a wrong one.
 */
import { stringify } from 'yaml';
import { isDeepStrictEqual } from 'node:util';
import { asWritten, type Key, valueAt } from './keys.ts';
import type { Place } from './problems.ts';
import type { Config } from './schema.ts';

/** What is printed: a configuration and its origins; with `changedOnly`, nothing that equals its default. */
export type Printable = { config: Config; origins: ReadonlyMap<string, Place>; changedOnly?: boolean };

type Line = { indent: number; text: string; origin?: string };

/** Where the comments begin, unless a line is longer. */
const COMMENT_COLUMN = 44;
const LONG_LIST = 80;

/** Writes the configuration as YAML, in the order of the keys. */
export function printConfig({ config, origins, changedOnly = false }: Printable, keys: readonly Key[]): string {
  const lines: Line[] = [];
  let open: string[] = [];
  for (const key of keys) {
    const value = valueAt(config, key.path);
    if (changedOnly && isDeepStrictEqual(value, key.default)) continue;
    const names = key.path.split('.');
    const name = names.pop() ?? '';
    const shared = names.findIndex((section, depth) => section !== open[depth]);
    const fresh = shared === -1 ? [] : names.slice(shared);
    for (const [depth, section] of fresh.entries()) lines.push({ indent: shared + depth, text: `${section}:` });
    open = names;
    lines.push(...linesOf(key, name, value, origins.get(key.path), config));
  }
  return lines.map((line) => `${writeLine(line)}\n`).join('');
}

function linesOf(key: Key, name: string, value: unknown, place: Place | undefined, config: Config): Line[] {
  const indent = key.path.split('.').length - 1;
  const origin = place?.text.replaceAll(/\p{Cc}/gu, '?') ?? 'default';
  if (value === undefined) return [{ indent, text: `#${name}:`, origin: 'not set' }];
  const hidden = hide(key, value);
  if (hidden !== undefined) return [{ indent, text: `#${name}: ${hidden}`, origin: `secret, from ${origin}` }];
  if (key.path === 'upstream.proxy' && config.upstream.proxyFromEnvironment) {
    // Both at once would be a mistake.
    return [{ indent, text: `#${name}: ${write(value)}`, origin: `${origin}, by upstream.proxyFromEnvironment` }];
  }
  const text = write(asWritten(key.path, value));
  if (!Array.isArray(value) || text.length <= LONG_LIST) return [{ indent, text: `${name}: ${text}`, origin }];
  return [
    { indent, text: `${name}:`, origin },
    ...value.map((item) => ({ indent: indent + 1, text: `- ${write(item)}` })),
  ];
}

function writeLine({ indent, text, origin }: Line): string {
  const line = `${'  '.repeat(indent)}${text}`;
  return origin === undefined ? line : `${line.padEnd(COMMENT_COLUMN - 1)} # ${origin}`;
}

/** What stands in the place of a value that holds a secret; a URL without a password holds none. */
function hide({ secret }: Key, value: unknown): string | undefined {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (/:\/\/.*@/s.test(text)) return typeof value === 'string' ? text.replace(/:\/\/.*@/s, '://***@') : '***';
  if (!secret || text === '[]' || HARMLESS_URL.test(text)) return undefined;
  return Array.isArray(value) ? `*** (${value.length})` : '***';
}

/** Hosts, and at most a name and a number behind them: nothing that is long enough to be a secret. */
const HARMLESS_URL = /^[a-z+]+:\/\/[\w.,:[\]-]+(?:\/[\w-]{1,20})?(?:\/\d{1,4})?\/?$/i;

/** A value on one line. */
const write = (value: unknown): string =>
  stringify(value, {
    collectionStyle: 'flow',
    flowCollectionPadding: false,
    lineWidth: 0,
    blockQuote: false,
    singleQuote: true,
  }).trimEnd();
