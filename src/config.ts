/**
 * The configuration: file, environment and flags become one checked object, or one list of everything that is wrong.
 */
import { resolve } from 'node:path';
import { findClashes, findWarnings } from './config/checks.ts';
import { obeyEnvironment, type ProxyFor } from './config/environment-proxy.ts';
import { obeyTracing } from './config/environment-tracing.ts';
import { readConfigFile } from './config/file.ts';
import { type Key, keysOf, treeOf } from './config/keys.ts';
import { checkSetting, ConfigError, NOWHERE, type Place, type Problem, type Setting } from './config/problems.ts';
import { type Config, configSchema } from './config/schema.ts';
import { type Env, readEnv, readFlags } from './config/sources.ts';

/** Where a configuration comes from. With `emulator`, the upstream's address need not be known. */
export type LoadOptions = {
  file?: string | undefined;
  env: Env;
  /** `path=value` flags, like `listen.port=9000`. */
  set?: readonly string[] | undefined;
  emulator?: boolean | undefined;
  /** What the environment says of the proxy for a URL; asked where `upstream.proxyFromEnvironment` is set. */
  proxyFor?: ProxyFor | undefined;
};

/**
 * A configuration, and what its operator should know about it: `origins` has the place of every key that some source
 * sets (all others have their default), `files` every file that was read, by its absolute path.
 */
export type Loaded = {
  config: Config;
  warnings: string[];
  origins: ReadonlyMap<string, Place>;
  files: readonly string[];
  /** When reading them began, ms since the epoch. */
  readAt: number;
};

export { type Config, ConfigError, type Place };

/** Every key as the documentation shows it. */
export const configKeys = (): Omit<Key, 'schema'>[] =>
  keysOf(configSchema).map((key) => ({
    path: key.path,
    env: key.env,
    description: key.description,
    default: key.default,
    secret: key.secret,
    reload: key.reload,
  }));

/**
 * Puts the configuration together: a flag beats a variable, a variable the file, the file the default.
 * Throws a ConfigError with every mistake in every source, also in values that another source overrides.
 */
export async function loadConfig({
  file,
  env,
  set = [],
  emulator = false,
  proxyFor = () => '',
}: LoadOptions): Promise<Loaded> {
  const readAt = Date.now();
  const keys = keysOf(configSchema);
  const fromFile = file === undefined ? undefined : await readConfigFile(file, keys);
  const fromEnv = await readEnv(env, keys);
  const sources = [fromFile, fromEnv, readFlags(set, keys)].filter((source) => source !== undefined);
  const settings = sources.flatMap((source) => source.settings);
  const warnings: string[] = [];
  const problems = sources.flatMap((source) => source.problems);

  const good: Setting[] = [];
  for (const setting of settings) {
    const found = checkSetting(setting);
    problems.push(...found);
    if (found.length === 0) good.push(setting);
  }
  const named = new Set(settings.map(({ key }) => key.path));
  if (!emulator && !named.has('upstream.url') && !fromFile?.broken) problems.push(MISSING_URL);

  const places = new Map<string, Place>(good.map(({ key, place }) => [key.path, place]));
  const merged = configSchema.safeParse(treeOf(good.map(({ key, value }) => [key.path, value])));
  for (const { path, message } of merged.error?.issues ?? []) {
    const name = path.join('.');
    problems.push({ place: places.get(name) ?? NOWHERE, path: name, message });
  }
  if (merged.data) {
    const obeyed = obeyEnvironment(merged.data, env, proxyFor);
    if (obeyed.place) places.set('upstream.proxy', obeyed.place);
    const traced = obeyTracing(merged.data, env);
    if (traced.place) places.set('tracing.otlpUrl', traced.place);
    warnings.push(...traced.warnings);
    problems.push(...findClashes(merged.data, places, emulator), ...obeyed.problems, ...traced.problems);
  }
  if (problems.length > 0 || !merged.data) throw new ConfigError(problems);
  const files = [...(file === undefined ? [] : [resolve(file)]), ...fromEnv.files];
  return {
    config: merged.data,
    warnings: [...findWarnings(merged.data, emulator), ...warnings],
    origins: places,
    files,
    readAt,
  };
}

const MISSING_URL: Problem = {
  place: NOWHERE,
  path: 'upstream.url',
  message:
    'is missing: give the address of your Easemob REST API, like https://a1.easemob.com, ' +
    'in the file or as CHATFILES_UPSTREAM__URL; to try the gateway without Easemob, start it with --emulator',
};
