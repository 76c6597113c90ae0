/** The commands about the configuration: check it, print what takes effect, and describe it to editors. */
import type { Command } from 'commander';
import { ConfigError, loadConfig, type LoadOptions } from './config.ts';
import { jsonSchemaOf } from './config/json-schema.ts';
import { keysOf } from './config/keys.ts';
import { printConfig } from './config/print.ts';
import type { Place, Problem } from './config/problems.ts';
import { configSchema } from './config/schema.ts';
import { tryOut } from './config/trial.ts';

/** Which configuration is meant, as the command line says it. */
export type SourceFlags = { config?: string; emulator?: boolean; set?: string[] };

/** Where the configuration comes from besides the command line. */
export type Surroundings = Pick<LoadOptions, 'env' | 'proxyFor'>;

type CheckFlags = SourceFlags & { files: boolean; strict?: boolean; json?: boolean };
type Checked = { problems: readonly Problem[]; warnings: readonly string[]; origins: ReadonlyMap<string, Place> };

const EXIT_CODES = `
Exit codes: 0 it is fine, 1 it has mistakes (or, with --strict, warnings), 2 the command was not understood.`;

/** Adds the options that say which configuration is meant. */
export const withSources = (command: Command): Command =>
  command
    .option('--config <file>', 'a YAML file; config/default.yaml shows every key')
    .option('--emulator', 'run the embedded Easemob emulator as the upstream')
    .option(
      '--set <path=value>',
      'set one key, for example --set listen.port=9000 (may be repeated)',
      (value: string, values: string[] | undefined) => [...(values ?? []), value],
    );

/** Adds `config check`, `config print` and `config schema`. */
export function addConfigCommands(program: Command, surroundings: Surroundings): void {
  const config = program.command('config').description('check, print or describe the configuration');
  withSources(config.command('check').argument('[file]', 'the same as --config <file>'))
    .description('find every mistake without starting anything, also in the files and folders that keys name')
    .option('--no-files', 'leave those files and folders alone: to check on another machine than the one it is for')
    .option('--strict', 'take warnings for mistakes')
    .option('--json', 'tell it in JSON, on the standard output')
    .addHelpText('after', EXIT_CODES)
    .action(async (named: string | undefined, flags: CheckFlags, command: Command) => {
      await check(oneFile(named, flags, command), surroundings);
    });
  withSources(config.command('print').argument('[file]', 'the same as --config <file>'))
    .description('print the configuration that takes effect, with the origin of every value and without secrets')
    .option('--changed', 'only what differs from its default')
    .action(async (named: string | undefined, flags: SourceFlags & { changed?: boolean }, command: Command) => {
      const { changed = false } = flags;
      const { config: values, origins } = await load(oneFile(named, flags, command), surroundings);
      say(printConfig({ config: values, origins, changedOnly: changed }, keysOf(configSchema)));
    });
  config
    .command('schema')
    .description('print the JSON Schema of the file, for editors')
    .action(() => {
      say(`${JSON.stringify(jsonSchemaOf(keysOf(configSchema)), null, 2)}\n`);
    });
}

function oneFile<Flags extends SourceFlags>(named: string | undefined, flags: Flags, command: Command): Flags {
  if (named !== undefined && flags.config !== undefined) command.error('error: name one file, not two');
  return named === undefined ? flags : { ...flags, config: named };
}

const load = ({ config: file, emulator, set }: SourceFlags, surroundings: Surroundings) =>
  loadConfig({ ...surroundings, file, emulator, set });

async function check(flags: CheckFlags, surroundings: Surroundings): Promise<void> {
  const { problems, warnings, origins } = await find(flags, surroundings);
  const isFine = problems.length === 0 && !(flags.strict && warnings.length > 0);
  if (!isFine) process.exitCode = 1;
  if (flags.json) {
    const mistakes = problems.map((problem) => describe(problem, flags.config));
    say(`${JSON.stringify({ ok: isFine, file: flags.config ?? null, mistakes, warnings }, null, 2)}\n`);
    return;
  }
  for (const warning of warnings) complain(`warning: ${warning}`);
  if (problems.length > 0) complain(new ConfigError(problems).message);
  else if (!isFine) complain(`${nameOf(flags)} has warnings, which --strict takes for mistakes.`);
  else say(`${nameOf(flags)} is fine: ${countOrigins(origins)}.\n`);
}

/** All that is wrong; what its files are good for is only asked of a configuration that can be read. */
async function find(flags: CheckFlags, surroundings: Surroundings): Promise<Checked> {
  try {
    const { config, warnings, origins } = await load(flags, surroundings);
    const tried = flags.files ? await tryOut(config, origins) : { problems: [], warnings: [] };
    return { problems: tried.problems, warnings: [...warnings, ...tried.warnings], origins };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems, warnings: [], origins: new Map() };
  }
}

/** One mistake for a program: the same words, and the place in its parts. */
const describe = ({ place, path, message }: Problem, file: string | undefined) => ({
  key: path === '' ? null : path,
  message,
  source: place.source === 'nowhere' ? null : place.source,
  place: place.text === '' ? null : place.text,
  ...(place.source === 'file' ? { file, line: place.line ?? null, column: place.column ?? null } : {}),
});

const nameOf = ({ config }: SourceFlags): string => config ?? 'Without a file (--config names one), the configuration';

function countOrigins(origins: ReadonlyMap<string, Place>): string {
  const sources = [...origins.values()].map(({ source }) => source);
  const counts = [
    ['file', 'from the file'],
    ['environment', 'from the environment'],
    ['flag', 'by --set'],
  ].flatMap(([source, words]) => {
    const count = sources.filter((each) => each === source).length;
    return count === 0 ? [] : [`${count} ${words}`];
  });
  return counts.length === 0
    ? 'every key has its default'
    : `keys set: ${counts.join(', ')}; the others have their default`;
}

const say = (text: string) => process.stdout.write(text);
const complain = (text: string) => process.stderr.write(`${text}\n`);
