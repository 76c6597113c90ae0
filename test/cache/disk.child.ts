/** Writes into a folder until it is killed: a line for each hundred entries that it knows to be written. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createDisk } from '../../src/cache/disk.ts';
import { systemClock } from '../../src/clock.ts';

const [dir = '', first = '0'] = process.argv.slice(2);
const limits = { maxBytes: 100_000_000, segmentBytes: 1_000_000, minFreeBytes: 0, lifetimeMs: 86_400_000 };
const disk = createDisk({ dir, ...limits }, { clock: systemClock, notice: () => {} });
const tell = (line: string) => process.stdout.write(`${line}\n`);
await disk.idle();
tell(disk.stats().state);
for (let number = Number(first); ; number += 1) {
  const body = Buffer.alloc(50 + ((number * 7919) % 9000), `<${number}>`);
  disk.put({ app: 'org/app', file: `file-${number}`, variant: '1' }, { storedAt: Date.now(), fields: {}, body });
  if (number % 7 === 0) await nextTurn();
  if (number % 10 === 9) void disk.erase({ app: 'org/app', file: `file-${number - 4}`, variant: '1' });
  if (number % 100 < 99) continue;
  await disk.idle();
  tell(String(number));
}
