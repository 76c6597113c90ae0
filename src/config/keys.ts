/**
 * The configuration's keys, read off its schema: what each is called, and how a text is read as its value.
 */
import { closestMatch } from 'leven';
import { z } from 'zod';
import { showBytes } from '../quantity.ts';

/**
 * One key: its dotted path, its environment variable, what it is for, and the schema of its value. `reload`: a running
 * gateway takes a new value.
 */
export type Key = {
  path: string;
  env: string;
  description: string;
  default: unknown;
  secret: boolean;
  reload: boolean;
  schema: z.ZodType;
};

const BOOLEANS = new Map([
  ['true', true],
  ['yes', true],
  ['1', true],
  ['false', false],
  ['no', false],
  ['0', false],
]);

/** All keys of a schema and the sections below it, in the order of the schema; a mark on a section is one on its keys. */
export function keysOf(schema: z.ZodType, path: string[] = [], marks: Marks = {}): Key[] {
  const inner: unknown = schema instanceof z.ZodPrefault ? schema.unwrap() : schema;
  const { secret = false, reload = false } = { ...marks, ...marksOf(inner) };
  if (inner instanceof z.ZodObject) {
    return Object.entries<unknown>(inner.shape).flatMap(([name, child]) =>
      child instanceof z.ZodType ? keysOf(child, [...path, name], { secret, reload }) : [],
    );
  }
  return [
    {
      path: path.join('.'),
      env: envName(path),
      description: schema.description ?? '',
      default: schema.parse(undefined),
      secret,
      reload,
      schema,
    },
  ];
}

type Marks = { secret?: boolean; reload?: boolean };

function marksOf(schema: unknown): Marks {
  const meta: Record<string, unknown> = schema instanceof z.ZodType ? (schema.meta() ?? {}) : {};
  const given = (['secret', 'reload'] as const).filter((mark) => typeof meta[mark] === 'boolean');
  return Object.fromEntries(given.map((mark) => [mark, meta[mark]]));
}

/** The value that a configuration has by a dotted path. */
export const valueAt = (config: object, path: string): unknown =>
  path.split('.').reduce<unknown>((section, name) => (section as Record<string, unknown>)[name], config);

/** A value as an operator would write it: sizes have a unit. */
export const asWritten = (path: string, value: unknown): unknown =>
  path.endsWith('Bytes') && typeof value === 'number' ? showBytes(value) : value;

/** The names of the sections that hold the keys. */
export function sectionsOf(keys: readonly Key[]): Set<string> {
  const sections = new Set<string>();
  for (const { path } of keys) {
    for (let dot = path.indexOf('.'); dot !== -1; dot = path.indexOf('.', dot + 1)) sections.add(path.slice(0, dot));
  }
  return sections;
}

/** Reads the text of a variable or a flag as a value of the key's kind; what cannot be read so stays text. */
export function readText(schema: unknown, text: string): unknown {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) return readText(schema.unwrap(), text);
  if (schema instanceof z.ZodPipe) return readText(schema.in, text);
  if (schema instanceof z.ZodNumber) return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
  if (schema instanceof z.ZodLiteral) return [...schema.values].find((value) => String(value) === text) ?? text;
  if (schema instanceof z.ZodBoolean) return BOOLEANS.get(text.toLowerCase()) ?? text;
  if (schema instanceof z.ZodArray) return text.split(/,|\r?\n/).map((item) => item.trim());
  if (schema instanceof z.ZodUnion) {
    for (const option of schema.options) {
      const value = readText(option, text);
      if (value !== text) return value;
    }
  }
  return text;
}

/** The name that was probably meant, if one is near enough; separators and case do not count. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const wanted = bare(name);
  const byBare = new Map(candidates.map((candidate) => [bare(candidate), candidate]));
  // Bounded: a name of a thousand characters was not meant to be any of these.
  const close =
    wanted.length <= 100
      ? closestMatch(wanted, [...byBare.keys()], { maxDistance: Math.max(1, Math.floor(wanted.length / 4)) })
      : undefined;
  const last = bare(name.slice(name.lastIndexOf('.') + 1));
  return byBare.get(close ?? '') ?? candidates.find((candidate) => bare(candidate.split('.').at(-1) ?? '') === last);
}

/** Puts values by their dotted paths into one tree; of two for the same path the later one stays. */
export function treeOf(values: Iterable<readonly [path: string, value: unknown]>): unknown {
  const tree: Record<string, unknown> = {};
  for (const [path, value] of values) {
    const names = path.split('.');
    const last = names.pop() ?? '';
    let section = tree;
    for (const name of names) {
      const below: unknown = (section[name] ??= {});
      if (isSection(below)) section = below;
    }
    section[last] = value;
  }
  return tree;
}

const isSection = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const bare = (name: string): string => name.toLowerCase().replaceAll(/[._-]/g, '');

/** The variable of a key: levels are joined by two underscores, the words of a name by one. */
function envName(path: readonly string[]): string {
  const levels = path.map((name) => name.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toUpperCase());
  return `CHATFILES_${levels.join('__')}`;
}
