/**
 * The JSON Schema of the configuration file, with which editors complete and check it while it is written.
 *
 * It knows every key and the kind of its value. What needs two keys, and some rules for one, only the loader knows.
 */
import { z } from 'zod';
import { asWritten, type Key } from './keys.ts';
import { FILE_SUFFIX } from './secret-file.ts';

type Section = { type: ['object', 'null']; additionalProperties: false; properties: Record<string, unknown> };

// A section may be left empty: YAML's word for that is null.
const newSection = (): Section => ({ type: ['object', 'null'], additionalProperties: false, properties: {} });

/** Makes the schema, in the order of the keys. */
export function jsonSchemaOf(keys: readonly Key[]): Record<string, unknown> {
  const top = newSection();
  const sections = new Map([['', top]]);
  for (const key of keys) {
    const names = key.path.split('.');
    const name = names.pop() ?? '';
    sectionAt(names, sections).properties[name] = schemaOfKey(key);
  }
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'Configuration of chatfiles-gateway', ...top };
}

function sectionAt(names: readonly string[], sections: Map<string, Section>): Section {
  const path = names.join('.');
  const found = sections.get(path);
  if (found) return found;
  const section = newSection();
  sections.set(path, section);
  sectionAt(names.slice(0, -1), sections).properties[names.at(-1) ?? ''] = section;
  return section;
}

function schemaOfKey(key: Key): Record<string, unknown> {
  const schema: Record<string, unknown> = z.toJSONSchema(key.schema, { io: 'input', target: 'draft-7' });
  // What the marks mean is said in words; what zod says of the default is left away, since it does not know sizes.
  const { $schema: _, secret: _1, reload: _2, default: _3, ...kind } = schema;
  return {
    ...kind,
    description: `${key.description} (${namesOf(key)}; ${changeOf(key)})`,
    ...(key.default === undefined ? {} : { default: asWritten(key.path, key.default) }),
    ...(key.secret ? { writeOnly: true } : {}),
  };
}

/** The variables that set a key. */
export const namesOf = ({ env, secret }: Pick<Key, 'env' | 'secret'>): string =>
  secret ? `${env} or ${env}${FILE_SUFFIX}` : env;

const changeOf = ({ reload }: Key): string => (reload ? 'changes without a restart' : 'a change needs a restart');
