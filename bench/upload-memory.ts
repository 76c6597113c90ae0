/**
 * What forty uploads of 10 MB at once cost in memory: a gateway in a process of its own, in front of an emulator in
 * another. Prints a table and writes it to bench/results/upload-memory.md; ends with 1 when the goal is missed.
 */
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { cpus, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEMO } from '../src/first-visit.ts';
import { multipartOf } from '../test/kit/ask.ts';
import { startEmulatorProcess, startGatewayProcess } from '../test/kit/process.ts';

const UPLOADS = 40;
const FILE_BYTES = 10 * 1024 ** 2;
const PIECE_BYTES = 64 * 1024;
const GOAL_MB = 300;
const SAMPLE_MS = 20;
/** What one slow sender sends in a second: 10 MB in 8 s. */
const SLOW_BYTES_PER_SECOND = 1_310_720;

type Scenario = { length: 'announced' | 'chunked'; sender: 'fast' | 'slow'; rounds: number };
type Figures = { peakMb: number; idleMb: number; diskMb: number; seconds: number; statuses: string };

const SCENARIOS: Scenario[] = [
  { length: 'announced', sender: 'fast', rounds: 3 },
  { length: 'chunked', sender: 'fast', rounds: 3 },
  { length: 'announced', sender: 'slow', rounds: 1 },
  { length: 'chunked', sender: 'slow', rounds: 1 },
];

const { contentType, body } = multipartOf(randomFillSync(Buffer.alloc(FILE_BYTES)));

/** Sends the form as a client would, in pieces; resolves with the status, 0 when the connection broke. */
function upload(url: string, token: string, { length, sender }: Omit<Scenario, 'rounds'>): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const framing: Record<string, string> = length === 'announced' ? { 'content-length': String(body.length) } : {};
  const headers = { authorization: `Bearer ${token}`, 'content-type': contentType, ...framing };
  const outgoing = request(url, { method: 'POST', headers, agent: false }, (answer) => {
    answer.resume().once('close', () => resolve(answer.statusCode ?? 0));
  });
  outgoing.on('error', () => resolve(0));
  const gone = new AbortController();
  outgoing.once('close', () => gone.abort());
  const send = async () => {
    for (let at = 0; at < body.length; at += PIECE_BYTES) {
      if (!outgoing.write(body.subarray(at, at + PIECE_BYTES))) await once(outgoing, 'drain', { signal: gone.signal });
      if (sender === 'slow') await sleep((PIECE_BYTES / SLOW_BYTES_PER_SECOND) * 1000);
    }
    outgoing.end();
  };
  send().catch(() => outgoing.destroy());
  return promise;
}

async function logIn(emulatorUrl: string): Promise<string> {
  const { org, app, username, password } = DEMO;
  const answer = await fetch(`${emulatorUrl}/${org}/${app}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ grant_type: 'password', username, password }),
  });
  return ((await answer.json()) as { access_token: string }).access_token;
}

const statusMb = (pid: number, field: 'VmHWM' | 'VmRSS'): number =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** The bytes on the disk that a process holds in files without a name, as the spool's are. */
function unnamedMb(pid: number): number {
  let bytes = 0;
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const stats = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
    if (stats?.isFile() && stats.nlink === 0) bytes += stats.size;
  }
  return bytes / 1024 ** 2;
}

async function measure(scenario: Omit<Scenario, 'rounds'>): Promise<Figures> {
  await using emulator = await startEmulatorProcess();
  await using gateway = await startGatewayProcess([`upstream.url=${emulator.url}`]);
  const url = `${gateway.url}/${DEMO.org}/${DEMO.app}/chatfiles`;
  const token = await logIn(emulator.url);
  const idleMb = statusMb(gateway.pid, 'VmRSS');
  let diskMb = 0;
  const sampler = setInterval(() => {
    diskMb = Math.max(diskMb, unnamedMb(gateway.pid));
  }, SAMPLE_MS);
  const startedAt = performance.now();
  const answers = await Promise.all(Array.from({ length: UPLOADS }, () => upload(url, token, scenario)));
  const seconds = (performance.now() - startedAt) / 1000;
  clearInterval(sampler);
  const statuses = [...new Set(answers)]
    .map((status) => `${answers.filter((each) => each === status).length} × ${status}`)
    .join(', ');
  return { peakMb: statusMb(gateway.pid, 'VmHWM'), idleMb, diskMb, seconds, statuses };
}

const rows: string[] = [];
let isMissed = false;
for (const { rounds, ...scenario } of SCENARIOS) {
  for (let round = 1; round <= rounds; round += 1) {
    const { peakMb, idleMb, diskMb, seconds, statuses } = await measure(scenario);
    isMissed ||= peakMb >= GOAL_MB || statuses !== `${UPLOADS} × 200`;
    const whole = [idleMb, peakMb, GOAL_MB, diskMb].map((mb) => mb.toFixed(0));
    rows.push(`| ${[scenario.length, scenario.sender, round, ...whole, seconds.toFixed(1), statuses].join(' | ')} |`);
  }
}

const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, ${Math.round(totalmem() / 1024 ** 3)} GB`;
const report = `# Memory under uploads

\`node bench/upload-memory.ts\`, ${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.versions.node}.
${UPLOADS} uploads of ${FILE_BYTES / 1024 ** 2} MB begin at once. Gateway, emulator and senders are three processes on
this machine; each row has a fresh gateway with its default configuration, so no more than 30 uploads a second leave it.
Peak: the highest resident set of the gateway's process (VmHWM). Disk: the most that waited in the spool's files. A slow
sender sends ${(SLOW_BYTES_PER_SECOND / 1024 ** 2).toFixed(2)} MB a second.

| length | senders | round | idle MB | peak MB | goal MB | disk MB | seconds | answers |
|---|---|--:|--:|--:|--:|--:|--:|---|
${rows.join('\n')}
`;
console.log(report);
await mkdir(new URL('results/', import.meta.url), { recursive: true });
await writeFile(new URL('results/upload-memory.md', import.meta.url), report);
process.exitCode = isMissed ? 1 : 0;
