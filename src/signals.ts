/** What signals do to the process: SIGTERM and SIGINT end it, SIGHUP has it read its files anew. */
import { closeSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import { systemClock } from './clock.ts';

/** What is running, once it is: how it ends its work, and what is closed then. */
export type Running = { drain: (times?: { delayMs: number }) => Promise<{ cut: number }>; open: AsyncDisposableStack };

/** How long closing may take when the work is done, in ms: a disk or a Redis that hangs must not keep the process. */
const CLOSE_MS = 3000;
/** Ctrl-C reaches a process twice where npm runs it: from the terminal, and from npm, which forwards it. */
const TWICE_MS = 500;

/**
 * The first signal drains and closes everything, a second one ends the process at once. SIGINT comes from a terminal, where
 * no load balancer has to notice: it drains without a delay. Whoever is still starting has nothing to lose. The returned
 * function says that it is running; what goes wrong at the end goes to `endWith`.
 */
export function stopOnSignal(endWith: (error: unknown) => never): (running: Running) => void {
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
  // A terminal that is closed says so by SIGHUP, by which else a reload is asked for: nobody is left to see this process.
  process.on('SIGHUP', () => {
    if (HAD_TERMINAL && !hasTerminal()) stop('SIGHUP');
  });
  return (now) => {
    running = now;
  };
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

const HAD_TERMINAL = isatty(0) && hasTerminal();

/** Calls back on each SIGHUP, until it is disposed. */
export function onHangUp(callback: () => void): Disposable {
  process.on('SIGHUP', callback);
  return { [Symbol.dispose]: () => void process.off('SIGHUP', callback) };
}
