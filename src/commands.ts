/** The sub-commands, and the last word on what went wrong. */
import { Command, InvalidArgumentError } from 'commander';
import { getProxyForUrl } from 'proxy-from-env';
import { addConfigCommands, type SourceFlags, withSources } from './config-commands.ts';
import { ConfigError } from './config.ts';
import type { Env } from './config/sources.ts';
import { DEMO } from './first-visit.ts';
import { ListenError } from './listen.ts';
import { stopOnSignal } from './signals.ts';
import { start } from './start.ts';

type EmulateFlags = { port: number; adminPort: number };

async function run(flags: SourceFlags, env: Env): Promise<void> {
  const setRunning = stopOnSignal(endWith);
  setRunning(await start(flags, env));
}

async function emulate({ port, adminPort }: EmulateFlags): Promise<void> {
  const setRunning = stopOnSignal(endWith);
  const { createEmulator } = await import('./emulator/emulator.ts');
  await using opening = new AsyncDisposableStack();
  const emulator = opening.use(await createEmulator({ port, adminPort, users: [DEMO] }));
  process.stdout.write(
    `Easemob emulator on ${emulator.url}, its controls on ${emulator.adminUrl} (docs/emulator.md)\n`,
  );
  setRunning({ drain: () => Promise.resolve({ cut: 0 }), open: opening.move() });
}

/** One message without a stack for what the operator can mend; the stack for what only we can. */
function endWith(error: unknown): never {
  const isForOperator = error instanceof ConfigError || error instanceof ListenError;
  const text = error instanceof Error ? (isForOperator ? error.message : error.stack) : String(error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

const port = (text: string): number => {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535)
    throw new InvalidArgumentError('It must be a whole number from 0 to 65535.');
  return value;
};

/** Understands the command line and does what it says; ends the process when that is to be. */
export async function runCommand(env: Env): Promise<void> {
  const program = new Command('chatfiles-gateway')
    .description("A gateway in front of Easemob's chatfiles REST API.")
    // Mistakes of the configuration end with 1: a pipeline can tell them from a command that was not understood.
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
  withSources(program.command('start'))
    .description('start the gateway')
    .action((flags: SourceFlags) => run(flags, env));
  addConfigCommands(program, { env, proxyFor: getProxyForUrl });
  program
    .command('emulate')
    .description('run the Easemob emulator alone')
    .option('--port <port>', 'the port of the API', port, 8090)
    .option('--admin-port <port>', 'the port of its controls', port, 8091)
    .action(emulate);
  await program.parseAsync().catch(endWith);
}
