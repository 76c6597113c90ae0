/**
 * Scans, so many at once; the others wait for their turn, in order, for as long as one scan may take at the most.
 */
import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';
import { askClamd, type Verdict } from './clamd.ts';
import { readAddress, type ScanConfig } from './config.ts';

/** Looks at files. */
export type Scanner = {
  /** What is in a file; never rejects. */
  scan(file: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Verdict>;
};

/** Opens a scanner; undefined where there is no clamd. Tells when clamd cannot be asked any more, and when it can again. */
export function createScanner(
  config: ScanConfig,
  { clock, notice }: { clock: Clock; notice: Notice },
): Scanner | undefined {
  const address = config.clamd === undefined ? undefined : readAddress(config.clamd);
  if (!address) return undefined;
  const waiting: (() => void)[] = [];
  let running = 0;
  let isAway = false;
  let hasToldOfSize = false;

  /** Waits for a turn; false if none came in time, or nobody waits for it any more. */
  const turn = (signal: AbortSignal): Promise<boolean> => {
    if (running < config.maxAtOnce) {
      running += 1;
      return Promise.resolve(true);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const settle = (hasTurn: boolean) => {
      cancel();
      signal.removeEventListener('abort', giveUp);
      resolve(hasTurn);
    };
    const begin = () => settle(true);
    const giveUp = () => {
      waiting.splice(waiting.indexOf(begin), 1);
      settle(false);
    };
    const cancel = clock.after(config.timeoutMs, giveUp);
    waiting.push(begin);
    if (signal.aborted) giveUp();
    else signal.addEventListener('abort', giveUp, { once: true });
    return promise;
  };
  /** A turn goes from hand to hand, so that nobody comes in between. */
  const pass = () => {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  };
  const tell = (verdict: Verdict) => {
    const fails = verdict.kind === 'failed';
    if (fails && verdict.isOfFile) {
      if (!hasToldOfSize)
        notice('warn', `${verdict.reason}: it should be no less than limits.fileBytes`, { clamd: config.clamd });
      hasToldOfSize = true;
      return;
    }
    if (fails === isAway) return;
    isAway = fails;
    const what = config.failOpen ? 'go on unseen (scan.failOpen)' : 'are answered with 503';
    if (verdict.kind === 'failed') {
      const details = { clamd: config.clamd, reason: verdict.reason };
      notice('warn', `clamd cannot be asked: uploads ${what}`, details, { component: 'scan', is: 'degraded' });
    } else notice('info', 'clamd can be asked again', { clamd: config.clamd }, { component: 'scan', is: 'ok' });
  };

  return {
    async scan(file, signal) {
      const startedAt = clock.monotonic();
      if (!(await turn(signal))) return { kind: 'failed', reason: `no turn within ${config.timeoutMs} ms` };
      try {
        const timeoutMs = Math.max(1, config.timeoutMs - (clock.monotonic() - startedAt));
        const times = { connectTimeoutMs: config.connectTimeoutMs, timeoutMs };
        const verdict = await askClamd(address, file, times, { clock, signal });
        if (!signal.aborted) tell(verdict);
        return verdict;
      } finally {
        pass();
      }
    },
  };
}
