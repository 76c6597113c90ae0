import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { diskBench } from './kit.ts';

const CHILD = fileURLToPath(new URL('disk.child.ts', import.meta.url));
const LIMITS = { maxBytes: 100_000_000, segmentBytes: 1_000_000 };

const keyOf = (number: number) => ({ app: 'org/app', file: `file-${number}`, variant: '1' });
const bodyOf = (number: number) => Buffer.alloc(50 + ((number * 7919) % 9000), `<${number}>`);

/** Another process that writes into a folder, and the lines it says. */
function startChild(dir: string, first = 0) {
  const child = spawn(process.execPath, [CHILD, dir, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const say = async (): Promise<string | undefined> => (await lines.next()).value;
  const kill = async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
    let last: string | undefined;
    for (let line = await say(); line !== undefined; line = await say()) last = line;
    return last;
  };
  return { say, kill };
}

describe('a process that is killed while it writes', () => {
  it('leaves every entry whole or absent, all that it knew to be written, and nothing that it erased', async () => {
    const { dir, open } = await diskBench({ ...LIMITS, lifetimeMs: Number.MAX_SAFE_INTEGER });
    let known = -1;
    for (const lines of [1, 3, 6]) {
      const first = known + 1;
      const child = startChild(dir, first);
      expect(await child.say()).toBe('open');
      for (let line = 0; line < lines; line += 1) known = Number(await child.say());
      known = Number((await child.kill()) ?? known);
    }
    const disk = await open();
    expect(known).toBeGreaterThan(900);
    for (let number = 0; number < known + 2000; number += 1) {
      const entry = await disk.get(keyOf(number));
      const isErased = number % 10 === 5;
      if (entry) expect(entry.body.equals(bodyOf(number))).toBe(true);
      if (number <= known) expect(entry === undefined).toBe(isErased);
    }
    // The last batch of each of the three may be torn.
    expect(disk.stats().corrupt).toBeLessThanOrEqual(3);
  });
});

describe('a folder that another process owns', () => {
  it('is left to it, and taken over once that was killed', async () => {
    const { clock, dir, open } = await diskBench({ ...LIMITS, lifetimeMs: Number.MAX_SAFE_INTEGER });
    const child = startChild(dir);
    expect(await child.say()).toBe('open');
    const known = Number(await child.say());
    const disk = await open();
    expect(disk.stats().state).toBe('away');
    await expect(disk.get(keyOf(1))).resolves.toBeUndefined();
    await child.kill();
    await clock.advance(1000);
    await disk.idle();
    expect(disk.stats().state).toBe('open');
    expect((await disk.get(keyOf(1)))?.body.equals(bodyOf(1))).toBe(true);
    expect((await disk.get(keyOf(known)))?.body.equals(bodyOf(known))).toBe(true);
  });
});
