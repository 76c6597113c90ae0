/** The running gateway as a process has it: its log, its configuration that may change, the embedded emulator. */
import { getProxyForUrl } from 'proxy-from-env';
import { systemClock } from './clock.ts';
import { readProxies } from './config/environment-proxy.ts';
import type { Env } from './config/sources.ts';
import { type Loaded, loadConfig } from './config.ts';
import type { SourceFlags } from './config-commands.ts';
import { DEMO, firstVisit } from './first-visit.ts';
import { createGateway } from './gateway.ts';
import type { State } from './health.ts';
import { createLogger, showsPretty, standardOutput } from './logger.ts';
import type { Notice } from './notice.ts';
import { createReload, type ReloadDeps, type ReloadResult } from './reload.ts';
import { bufferLines, createRequestLog } from './request-log.ts';
import { onHangUp, type Running } from './signals.ts';
import { createFileWatch } from './watch-files.ts';

/** Starts a gateway, with the emulator in the place of Easemob if that is wanted, and keeps it as its files say. */
export async function start({ config: file, emulator = false, set }: SourceFlags, env: Env): Promise<Running> {
  const load = () => loadConfig({ file, env, set, emulator, proxyFor: getProxyForUrl });
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
      proxyFor: (url) => readProxies(env, getProxyForUrl)(url)?.proxy,
      record(summary) {
        const { error, source } = summary;
        if (logServed && error === undefined && summary.wouldDeny === undefined) logServed(summary);
        else logger[source === 'upstream' || source === 'gateway' ? 'warn' : 'info'](summary, 'request');
      },
    }),
  );
  // Whoever rotates the audit log from outside says so by the same signal as for a reload, whatever becomes of that.
  opening.use(onHangUp(() => gateway.reopen()));
  for (const warning of warnings) logger.warn(warning);
  const { url: upstream, proxy } = config.upstream;
  const { otlpUrl } = config.tracing;
  const traces = otlpUrl === undefined ? {} : { traces: new URL(otlpUrl).host };
  // Its host alone: the rest of its URL may be a password.
  const way = { upstream, ...(proxy === undefined ? {} : { through: new URL(proxy).host }) };
  logger.info({ listen: gateway.url, admin: gateway.adminUrl, ...way, ...traces }, 'gateway started');
  if (emulatorUrl !== undefined) process.stdout.write(`${firstVisit(gateway.url, emulatorUrl)}\n`);
  let wanted = config.log.level;
  opening.use(
    reloadWhenChanged(running, {
      load: async () => {
        const loaded = await load();
        Object.assign(loaded.config.upstream, emulator ? { url: upstream, proxy } : {});
        return loaded;
      },
      async apply(next) {
        await gateway.reload(next);
        wanted = next.log.level;
        // What is told of the reload is to be seen by those who look for it, whichever of the two levels is the lower.
        if (logger.levels.values[wanted]! < logger.levels.values[logger.level]!) logger.level = wanted;
      },
      notice,
      onEnd(result) {
        logger.level = wanted;
        gateway.noteReload(result.ok);
        gateway.health.report('config', stateOf(result));
      },
    }),
  );
  return { drain: (times) => gateway.drain(times), open: opening.move() };
}

/** Takes a changed configuration into use on SIGHUP, and when its files change. */
function reloadWhenChanged(running: Loaded, deps: Omit<ReloadDeps, 'onFiles' | 'clock'>): Disposable {
  const { watch: isWatching, everyMs } = running.config.reload;
  const files = createFileWatch(() => void reload('a file has changed'), { everyMs }, systemClock);
  const reload = createReload(running, {
    ...deps,
    clock: systemClock,
    onFiles: (named, readAt) => files.watch(isWatching ? named : [], readAt),
  });
  const hangUp = onHangUp(() => void reload('SIGHUP'));
  return {
    [Symbol.dispose]() {
      hangUp[Symbol.dispose]();
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
