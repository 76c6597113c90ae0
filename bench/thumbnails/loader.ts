import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Outcome, Round } from './load.ts';
import { CORES } from './processes.ts';

/** The load's process, on the core of the others. */
export type Loader = AsyncDisposable & { play: (round: Round) => Promise<Outcome> };

/** Starts the load's process. */
export function startLoader(): Loader {
  const file = fileURLToPath(new URL('./load.ts', import.meta.url));
  const child = spawn('taskset', ['-c', CORES.others, process.execPath, file], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'close');
  return {
    async play(round) {
      const answered = once(child, 'message');
      child.send(round);
      const failed = ended.then(() => {
        throw new Error('the load has ended');
      });
      const [outcome] = (await Promise.race([answered, failed])) as [Outcome];
      return outcome;
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}
