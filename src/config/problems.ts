/**
 * What is wrong with a configuration, told as one list, in the order in which an operator would mend it.
 */
import { type Key, readText } from './keys.ts';

/** Where a value stands: the text that names the place, its rank among all places, and where in the file it is. */
export type Place = {
  text: string;
  source: 'file' | 'environment' | 'flag' | 'nowhere';
  order: number;
  line?: number;
  column?: number;
};

/** One mistake: where it stands, the key it is about (or none), and what to do about it. */
export type Problem = { place: Place; path: string; message: string };

/** A key's value as one source gives it; `items` are the places of a list's items, where they are known. */
export type Setting = { key: Key; value: unknown; place: Place; items?: Place[] };

/** The place of what stands nowhere, like a key that is missing. */
export const NOWHERE: Place = { text: '', source: 'nowhere', order: 0 };

const SOURCES: readonly Place['source'][] = ['file', 'environment', 'flag', 'nowhere'];

/** All mistakes of a configuration; the message is the whole list, and never holds a secret. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const sorted = problems.toSorted(byPlace);
    const title =
      sorted.length === 1 ? 'The configuration has a mistake:' : `The configuration has ${sorted.length} mistakes:`;
    super([title, ...sorted.map((problem) => `  ${describeProblem(problem)}`)].join('\n'));
    this.name = 'ConfigError';
    this.problems = sorted;
  }
}

/** One mistake as one line. */
export function describeProblem({ place, path, message }: Problem): string {
  return [place.text, path === '' ? message : `${path}: ${message}`].filter((part) => part !== '').join('  ');
}

/** The mistakes of one value, each with the place and the value that it is about. */
export function checkSetting({ key, value, place, items }: Setting): Problem[] {
  if (value === null) {
    return [{ place, path: key.path, message: 'has no value; write one behind it, or take the line out' }];
  }
  const problems = new Map<string, Problem>();
  for (const { path: inside, message } of key.schema.safeParse(value).error?.issues ?? []) {
    const [index] = inside;
    const item = typeof index === 'number' && Array.isArray(value);
    const path = item ? `${key.path}[${index}]` : key.path;
    const got = show(item ? (value[index] as unknown) : value, key.secret) + quotesHint({ key, value, place });
    // One value, one complaint: that a number is no whole one and too large need not be said twice.
    if (!problems.has(path)) {
      problems.set(path, { place: (item && items?.[index]) || place, path, message: `${message}, got ${got}` });
    }
  }
  return [...problems.values()];
}

/** A value for the eyes of an operator, without the secrets that it may hold. */
export function show(value: unknown, secret = false): string {
  if (secret) return 'a value that is kept secret';
  if (typeof value === 'string') return quote(value);
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : 'a section';
}

/** The name of a key or variable as it may be printed, whatever it holds. */
export const showName = (name: string): string => (/^[\w.*/-]{1,80}$/.test(name) ? name : quote(name));

/** Quotes a text on one line, cut short, with what may be a password in a URL or a query left out. */
function quote(text: string): string {
  const at = text.lastIndexOf('@');
  const scheme = /^[a-z]{1,10}:\/\//i.exec(text)?.[0] ?? '';
  const named = at === -1 ? text : `${scheme}***${text.slice(at)}`;
  const bare = named.replace(/[?#].*$/s, '?***');
  const short = bare.length > 100 ? `${bare.slice(0, 100)}…` : bare;
  // JSON leaves the other line ends and the terminal's control characters as they are.
  return JSON.stringify(short).replaceAll(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '?');
}

/** In a file, 8080 and "8080" are two things; in a message the difference needs words. */
function quotesHint({ key, value, place }: Setting): string {
  if (place.source !== 'file' || typeof value !== 'string' || !/^(?:\d+|true|false)$/.test(value)) return '';
  return key.schema.safeParse(readText(key.schema, value)).success ? ' (leave the quotes away)' : '';
}

function byPlace(a: Problem, b: Problem): number {
  return SOURCES.indexOf(a.place.source) - SOURCES.indexOf(b.place.source) || a.place.order - b.place.order;
}
