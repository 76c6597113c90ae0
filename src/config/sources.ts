/**
 * Where values come from besides the file: variables of the environment, and `--set path=value` flags.
 */
import { resolve } from 'node:path';
import { type Key, nearest, readText, sectionsOf } from './keys.ts';
import { type Place, type Problem, type Setting, showName } from './problems.ts';
import { FILE_SUFFIX, readSecretFile } from './secret-file.ts';

/** What a source holds: values of known keys, and what is wrong with the rest. */
export type Source = { settings: Setting[]; problems: Problem[] };

/** Environment variables, by name. */
export type Env = Readonly<Record<string, string | undefined>>;

const PREFIX = 'CHATFILES_';

/**
 * Reads the variables that begin with `CHATFILES_`, and the files of secrets that those with `_FILE` name; an empty one
 * counts as not set.
 */
export async function readEnv(env: Env, keys: readonly Key[]): Promise<Source & { files: string[] }> {
  const source: Source & { files: string[] } = { settings: [], problems: [], files: [] };
  const byEnv = new Map(keys.map((key) => [key.env, key]));
  const known = [...byEnv.keys(), ...keys.filter(({ secret }) => secret).map((key) => key.env + FILE_SUFFIX)];
  const injected = injectedByKubernetes(env);
  const names = Object.keys(env)
    .filter((name) => name.startsWith(PREFIX))
    .sort();
  for (const [order, name] of names.entries()) {
    const text = env[name];
    const key = byEnv.get(name);
    const place: Place = { text: showName(name), source: 'environment', order };
    if (text === undefined || text === '') continue;
    const complain = (message: string) => source.problems.push({ place, path: '', message });
    const owner = name.endsWith(FILE_SUFFIX) ? byEnv.get(name.slice(0, -FILE_SUFFIX.length)) : undefined;
    if (key) {
      source.settings.push({ key, value: readText(key.schema, text), place });
    } else if (owner && !owner.secret) {
      complain(`only secrets are read from a file of their own; set ${owner.env} to the value itself`);
    } else if (owner && env[owner.env]) {
      complain(`is set beside ${owner.env}; keep one of them`);
    } else if (owner) {
      const read = await readSecretFile(text);
      source.files.push(resolve(text));
      const found = { ...place, text: `${name}${read.shown}` };
      if ('problem' in read) source.problems.push({ place: found, path: owner.path, message: read.problem });
      else source.settings.push({ key: owner, value: readText(owner.schema, read.secret), place: found });
    } else if (!injected(name)) {
      complain(`unknown variable${suggest(nearest(name, known))}`);
    }
  }
  return source;
}

/** Reads `path=value` flags; of two for the same key the later one counts. */
export function readFlags(flags: readonly string[], keys: readonly Key[]): Source {
  const source: Source = { settings: [], problems: [] };
  const byPath = new Map(keys.map((key) => [key.path, key]));
  for (const [order, flag] of flags.entries()) {
    const equals = flag.indexOf('=');
    const path = flag.slice(0, equals).trim();
    const key = byPath.get(path);
    if (equals === -1) {
      const place: Place = { text: '--set', source: 'flag', order };
      // What stands there may be anything, also a secret: only a plain name is repeated.
      const got = /^[A-Za-z]+(?:\.[A-Za-z]+)*$/.test(flag) ? `, got ${flag}` : '';
      source.problems.push({ place, path: '', message: `must be path=value, like --set listen.port=9000${got}` });
      continue;
    }
    const place: Place = { text: '--set', source: 'flag', order };
    if (key) source.settings.push({ key, value: readText(key.schema, flag.slice(equals + 1)), place });
    else source.problems.push({ place, path: showName(path), message: unknownKey(path, keys) });
  }
  return source;
}

/** What to say of a path that is no key. */
export function unknownKey(path: string, keys: readonly Key[]): string {
  const below = keys.filter((key) => key.path.startsWith(`${path}.`)).map((key) => key.path);
  if (below.length > 0) return `is a section; set its keys one by one: ${below.join(', ')}`;
  // Not the section that it stands in: that one was found.
  const names = [...keys.map((key) => key.path), ...sectionsOf(keys)].filter((name) => !path.startsWith(`${name}.`));
  return `unknown key${suggest(nearest(path, names))}`;
}

const suggest = (name: string | undefined): string =>
  name === undefined ? '; config/default.yaml shows all there are' : `, did you mean ${name}?`;

/**
 * Kubernetes hands every container the addresses of the namespace's services as variables: a service that is called
 * chatfiles or chatfiles-gateway makes CHATFILES_GATEWAY_SERVICE_HOST and the like, which are no mistakes of anybody.
 */
function injectedByKubernetes(env: Env): (name: string) => boolean {
  const services = Object.keys(env)
    .filter((name) => name.startsWith('CHATFILES') && name.endsWith('_SERVICE_HOST'))
    .map((name) => name.slice(0, -'_SERVICE_HOST'.length));
  return (name) =>
    services.some(
      (service) =>
        /^_(?:SERVICE_(?:HOST|PORT)|PORT)(?:_|$)/.test(name.slice(service.length)) && name.startsWith(service),
    );
}
