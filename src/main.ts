/** The process: sub-commands, signals, and the last word on what went wrong. */
import { Command, InvalidArgumentError } from 'commander';
import { getProxyForUrl } from 'proxy-from-env';
import { readProxies } from './config/environment-proxy.ts';
import { ConfigError, type Loaded, loadConfig } from './config.ts';
import { addConfigCommands, type SourceFlags, withSources } from './config-commands.ts';
import { DEMO, firstVisit } from './first-visit.ts';
import { createGateway } from './gateway.ts';
import type { State } from './health.ts';
import { ListenError } from './listen.ts';
import { systemClock } from './clock.ts';
import { createLogger, showsPretty, standardOutput } from './logger.ts';
import type { Notice } from './notice.ts';
import { createReload, type ReloadDeps, type ReloadResult } from './reload.ts';
import { createFileWatch } from './watch-files.ts';
import { bufferLines, createRequestLog } from './request-log.ts';

type EmulateFlags = { port: number; adminPort: number };

const say = (text: string) => process.stdout.write(`${text}\n`);

async function start({ config: file, emulator = false, set }: SourceFlags): Promise<void> {
  const setRunning = stopOnSignal();
  const load = () => loadConfig({ file, env: process.env, set, emulator, proxyFor: getProxyForUrl });
  const running = await load();
  const { config, warnings } = running;
  const isPretty = showsPretty(config.log.format, process.stdout.isTTY);
  const lines = bufferLines(standardOutput(), systemClock);
  process.once('exit', () => lines.flush());
  const logger = createLogger(config.log, isPretty ? undefined : lines);
  const logServed = isPretty ? undefined : createRequestLog(() => logger.isLevelEnabled('info'), lines, systemClock);
  await using opening = new AsyncDisposableStack();
  const notice: Notice = (level, message, details = {}) => logger[level](details, message);
  let emulatorUrl: string | undefined;
  if (emulator) {
    const { createEmulator } = await import('./emulator/emulator.ts');
    const { port, adminPort } = config.emulator;
    const anonymousDownloads = config.tokens.anonymousDownloads === 'withSecret' ? 'withSecret' : 'refuse';
    const upstream = opening.use(await createEmulator({ port, adminPort, users: [DEMO], anonymousDownloads }));
    emulatorUrl = upstream.url;
    config.upstream.url = upstream.url;
    config.upstream.proxy = undefined;
  }
  const gateway = opening.use(
    await createGateway(config, {
      notice,
      proxyFor: (url) => readProxies(process.env, getProxyForUrl)(url)?.proxy,
      record(summary) {
        const { error, source } = summary;
        if (logServed && error === undefined && summary.wouldDeny === undefined) logServed(summary);
        else logger[source === 'upstream' || source === 'gateway' ? 'warn' : 'info'](summary, 'request');
      },
    }),
  );
  // Whoever rotates the audit log from outside says so by the same signal as for a reload, whatever becomes of that.
  const reopen = () => gateway.reopen();
  process.on('SIGHUP', reopen);
  opening.defer(() => void process.off('SIGHUP', reopen));
  for (const warning of warnings) logger.warn(warning);
  const { url: upstream, proxy } = config.upstream;
  const { otlpUrl } = config.tracing;
  const traces = otlpUrl === undefined ? {} : { traces: new URL(otlpUrl).host };
  // Its host alone: the rest of its URL may be a password.
  const way = { upstream, ...(proxy === undefined ? {} : { through: new URL(proxy).host }) };
  logger.info({ listen: gateway.url, admin: gateway.adminUrl, ...way, ...traces }, 'gateway started');
  if (emulatorUrl !== undefined) say(firstVisit(gateway.url, emulatorUrl));
  opening.use(
    reloadWhenChanged(running, {
      load: async () => {
        const loaded = await load();
        Object.assign(loaded.config.upstream, emulator ? { url: upstream, proxy } : {});
        return loaded;
      },
      async apply(next) {
        await gateway.reload(next);
        logger.level = next.log.level;
      },
      notice,
      onEnd(result) {
        gateway.noteReload(result.ok);
        gateway.health.report('config', stateOf(result));
      },
    }),
  );
  setRunning({ drain: (times) => gateway.drain(times), open: opening.move() });
}

async function emulate({ port, adminPort }: EmulateFlags): Promise<void> {
  const setRunning = stopOnSignal();
  const { createEmulator } = await import('./emulator/emulator.ts');
  await using opening = new AsyncDisposableStack();
  const emulator = opening.use(await createEmulator({ port, adminPort, users: [DEMO] }));
  say(`Easemob emulator on ${emulator.url}, its controls on ${emulator.adminUrl} (docs/emulator.md)`);
  setRunning({ drain: () => Promise.resolve({ cut: 0 }), open: opening.move() });
}

/** Takes a changed configuration into use on SIGHUP, and when its files change. */
function reloadWhenChanged(running: Loaded, deps: Omit<ReloadDeps, 'onFiles'>): Disposable {
  const { watch: isWatching, everyMs } = running.config.reload;
  const files = createFileWatch(() => void reload('a file has changed'), { everyMs }, systemClock);
  const reload = createReload(running, {
    ...deps,
    onFiles: (named, readAt) => files.watch(isWatching ? named : [], readAt),
  });
  const hangUp = () => void reload('SIGHUP');
  process.on('SIGHUP', hangUp);
  return {
    [Symbol.dispose]() {
      process.off('SIGHUP', hangUp);
      files[Symbol.dispose]();
    },
  };
}

/** What a reload means for the gateway's health: it goes on with what it has, in any case. */
const stateOf = (result: ReloadResult): State => {
  if (!result.ok)
    return { is: 'degraded', because: `the last reload failed, the earlier one goes on: ${result.mistakes}` };
  return result.waiting.length === 0
    ? { is: 'ok' }
    : { is: 'ok', because: `waiting for a restart: ${result.waiting.join(', ')}` };
};

/** What is running, once it is: how it ends its work, and what is closed then. */
type Running = { drain: (times?: { delayMs: number }) => Promise<{ cut: number }>; open: AsyncDisposableStack };

/** How long closing may take when the work is done, in ms: a disk or a Redis that hangs must not keep the process. */
const CLOSE_MS = 3000;
/** Ctrl-C reaches a process twice where npm runs it: from the terminal, and from npm, which forwards it. */
const TWICE_MS = 500;

/**
 * The first signal drains and closes everything, a second one ends the process at once. SIGINT comes from a terminal, where
 * no load balancer has to notice: it drains without a delay. Whoever is still starting has nothing to lose. The returned
 * function says that it is running.
 */
function stopOnSignal(): (running: Running) => void {
  let running: Running | undefined;
  let stoppedAt: number | undefined;
  const end = async ({ drain, open }: Running, signal: NodeJS.Signals) => {
    const { cut } = await drain(signal === 'SIGINT' ? { delayMs: 0 } : undefined);
    const code = cut === 0 ? 0 : 1;
    systemClock.after(CLOSE_MS, () => process.exit(code));
    await open.disposeAsync();
    process.exit(code);
  };
  const stop = (signal: NodeJS.Signals) => {
    if (stoppedAt !== undefined) {
      if (signal === 'SIGINT' && systemClock.monotonic() - stoppedAt < TWICE_MS) return;
      process.stderr.write('a second signal: ended at once, without waiting for requests under way\n');
      process.exit(1);
    }
    stoppedAt = systemClock.monotonic();
    if (running) end(running, signal).catch(endWith);
    else process.exit(0);
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  return (now) => {
    running = now;
  };
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

const program = new Command('chatfiles-gateway')
  .description("A gateway in front of Easemob's chatfiles REST API.")
  // Mistakes of the configuration end with 1: a pipeline can tell them from a command that was not understood.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
withSources(program.command('start')).description('start the gateway').action(start);
addConfigCommands(program, { env: process.env, proxyFor: getProxyForUrl });
program
  .command('emulate')
  .description('run the Easemob emulator alone')
  .option('--port <port>', 'the port of the API', port, 8090)
  .option('--admin-port <port>', 'the port of its controls', port, 8091)
  .action(emulate);

program.parseAsync().catch(endWith);
