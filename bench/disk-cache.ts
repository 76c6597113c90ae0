/**
 * The cache's disk tier with 100,000 entries of 4 KB: how fast they are written, read, and found again after a restart.
 * The restart is a process of its own, so that its memory is its own. Prints a table and writes it to
 * bench/results/disk-cache.md. Reads come from the system's page cache: the disk itself is not what is measured.
 */
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { createDisk } from '../src/cache/disk.ts';
import { systemClock } from '../src/clock.ts';

const MB = 1024 ** 2;
const ENTRIES = 100_000;
const BODY_BYTES = 4096;
const READS = 50_000;
const READERS = 16;
const LIMITS = { maxBytes: 1024 * MB, segmentBytes: 64 * MB, minFreeBytes: 0, lifetimeMs: 86_400_000 };

const keyOf = (number: number) => ({
  app: 'easemob-demo/chatdemoui',
  file: `5fd74830-b7c4-11ef-8b3e-${String(number).padStart(12, '0')}`,
  variant: '170x170',
});

const openDisk = (dir: string) =>
  createDisk({ dir, ...LIMITS }, { clock: systemClock, notice: (level, message) => console.error(level, message) });

/** The CPU time in µs that some work takes in all threads of this process, and how long it took in ms. */
async function measure(work: () => Promise<void>): Promise<{ cpuMicros: number; ms: number }> {
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { cpuMicros: user + system, ms: performance.now() - started };
}

const percentile = (values: number[], part: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * part)] ?? Number.NaN;

type Written = { putsPerSecond: number; cpuMicros: number; diskMb: number };

/** Puts all entries, waiting for the disk as seldom as the bounded queue allows. */
async function write(dir: string): Promise<Written> {
  await using disk = openDisk(dir);
  const bodies = Array.from({ length: 64 }, () => randomFillSync(Buffer.alloc(BODY_BYTES)));
  const fields = {
    'content-type': 'image/jpeg',
    'last-modified': 'Mon, 24 Nov 2025 10:00:00 GMT',
    etag: '"0123456789"',
  };
  const { cpuMicros, ms } = await measure(async () => {
    for (let number = 0; number < ENTRIES; number += 1) {
      const entry = { storedAt: Date.now(), fields, body: bodies[number % bodies.length]! };
      if (!disk.put(keyOf(number), entry)) throw new Error('the queue was full');
      if (number % 1000 === 999) await disk.idle();
    }
    await disk.idle();
  });
  return { putsPerSecond: (ENTRIES / ms) * 1000, cpuMicros: cpuMicros / ENTRIES, diskMb: disk.stats().bytes / MB };
}

type Read = { getsPerSecond: number; cpuMicros: number; p50Micros: number; p99Micros: number };

/** Reads entries in no order, some at a time. */
async function read(dir: string, readers: number): Promise<Read> {
  await using disk = openDisk(dir);
  await disk.idle();
  const times: number[] = [];
  const reader = async (from: number) => {
    for (let round = from; round < READS; round += readers) {
      const started = performance.now();
      const entry = await disk.get(keyOf((round * 7919) % ENTRIES));
      times.push((performance.now() - started) * 1000);
      if (entry?.body.length !== BODY_BYTES) throw new Error('not there');
    }
  };
  const { cpuMicros, ms } = await measure(async () => {
    await Promise.all(Array.from({ length: readers }, (_, from) => reader(from)));
  });
  return {
    getsPerSecond: (READS / ms) * 1000,
    cpuMicros: cpuMicros / READS,
    p50Micros: percentile(times, 0.5),
    p99Micros: percentile(times, 0.99),
  };
}

type Found = {
  newestMs: number;
  oldestMs: number;
  wholeMs: number;
  worstPauseMs: number;
  rssMb: number;
  moreMb: number;
};

/** Opens the folder as a new process does, and asks for a new and an old entry until they are there. */
async function find(dir: string): Promise<Found> {
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const since = () => performance.now() - started;
  let worstPauseMs = 0;
  let last = started;
  const watch = setInterval(() => {
    worstPauseMs = Math.max(worstPauseMs, performance.now() - last - 1);
    last = performance.now();
  }, 1);
  await using disk = openDisk(dir);
  const hit = async (number: number) => {
    while (!(await disk.get(keyOf(number)))) await new Promise((resolve) => setImmediate(resolve));
    return since();
  };
  const whole = disk.idle().then(since);
  const [newestMs, oldestMs, wholeMs] = await Promise.all([hit(ENTRIES - 1), hit(0), whole]);
  clearInterval(watch);
  if (disk.stats().entries !== ENTRIES) throw new Error(`${disk.stats().entries} were found`);
  const rss = process.memoryUsage.rss();
  return { newestMs, oldestMs, wholeMs, worstPauseMs, rssMb: rss / MB, moreMb: (rss - before) / MB };
}

async function findInChild(dir: string): Promise<Found> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(await text(child.stdout)) as Found;
}

async function main(): Promise<void> {
  const dir = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'disk-cache-bench-'));
  try {
    const written = await write(dir);
    const many = await read(dir, READERS);
    const one = await read(dir, 1);
    const found = await findInChild(dir);
    const again = await findInChild(dir);
    const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GB, Node ${process.versions.node}`;
    const [whole, of] = [(value: number) => Math.round(value).toString(), (value: number) => value.toFixed(1)];
    const rows = [
      ['written, entries a second', whole(written.putsPerSecond)],
      ['written, CPU µs an entry (all threads)', of(written.cpuMicros)],
      ['on the disk, MB (bodies alone: 390.6)', of(written.diskMb)],
      [`read by ${READERS} at a time, entries a second`, whole(many.getsPerSecond)],
      [`read by ${READERS} at a time, CPU µs an entry (all threads)`, of(many.cpuMicros)],
      [`read by ${READERS} at a time, µs, p50 / p99`, `${whole(many.p50Micros)} / ${whole(many.p99Micros)}`],
      ['read by one, entries a second', whole(one.getsPerSecond)],
      ['read by one, CPU µs an entry (all threads)', of(one.cpuMicros)],
      ['read by one, µs, p50 / p99', `${whole(one.p50Micros)} / ${whole(one.p99Micros)}`],
      ['restart, ms until the newest entry is a hit', `${whole(found.newestMs)} · ${whole(again.newestMs)}`],
      ['restart, ms until the oldest entry is a hit', `${whole(found.oldestMs)} · ${whole(again.oldestMs)}`],
      ['restart, ms until the index is whole', `${whole(found.wholeMs)} · ${whole(again.wholeMs)}`],
      ['restart, longest pause of the event loop in ms', `${of(found.worstPauseMs)} · ${of(again.worstPauseMs)}`],
      ['restart, RSS in MB when the index is whole', `${whole(found.rssMb)} · ${whole(again.rssMb)}`],
      ['restart, how much of that came with the disk', `${whole(found.moreMb)} · ${whole(again.moreMb)}`],
    ];
    const report = `# The cache's disk tier

\`node bench/disk-cache.ts\`, ${new Date().toISOString().slice(0, 10)}, ${machine}. ${ENTRIES} entries of ${BODY_BYTES} bytes; ${READS} reads in no
order, from the page cache. Two restarts, each a process of its own, one after the other; both times asking for the two
entries in every turn of the event loop.

| | |
|---|--:|
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}
`;
    console.log(report);
    const results = new URL('./results/', import.meta.url);
    await mkdir(results, { recursive: true });
    await writeFile(new URL('disk-cache.md', results), report);
  } finally {
    await rm(dir, { recursive: true });
  }
}

const [, , folder] = process.argv;
if (folder === undefined) await main();
else console.log(JSON.stringify(await find(folder)));
