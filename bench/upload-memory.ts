/**
 * What forty uploads of 10 MB at once cost in memory, round after round, in a fresh process and in one that has seen
 * much: a gateway in a process of its own, in front of an emulator in another. Prints a table and writes it to
 * bench/results/upload-memory.md; ends with 1 when the goal is missed.
 */
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { cpus, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEMO } from '../src/first-visit.ts';
import { ask, multipartOf } from '../test/kit/ask.ts';
import { type GatewayProcess, startEmulatorProcess, startGatewayProcess } from '../test/kit/process.ts';

const UPLOADS = 40;
const FILE_BYTES = 10 * 1024 ** 2;
const PIECE_BYTES = 64 * 1024;
const GOAL_MB = 300;
const SAMPLE_MS = 20;
/** What one slow sender sends in a second: 10 MB in 8 s. */
const SLOW_BYTES_PER_SECOND = 1_310_720;

/** What a worn process has done before its rounds. */
const WORN = { files: 200, abandoned: 200, atOnce: 20 };

type Sending = { length: 'announced' | 'chunked'; sender: 'fast' | 'slow' };
/** The rounds that one process goes through, one after the other. */
type Scenario = { process: 'fresh' | 'worn'; rounds: Sending[] };
type Figures = { beforeMb: number; peakMb: number; diskMb: number; seconds: number; statuses: string };

const ANNOUNCED: Sending = { length: 'announced', sender: 'fast' };
const CHUNKED: Sending = { length: 'chunked', sender: 'fast' };
const SLOW: Sending = { length: 'announced', sender: 'slow' };
/**
 * Known shortcoming: the worn process is not at its end after four rounds. Over sixteen, its live memory stays the same
 * (25 MB of objects, at most 100 MB of buffers), but the allocator's and V8's unused pages bring it to 280 to 320 MB;
 * with `node --max-semi-space-size=4` nine rounds stayed at 235 MB but for one of 264.
 */
const SCENARIOS: Scenario[] = [
  { process: 'fresh', rounds: [ANNOUNCED, ANNOUNCED, ANNOUNCED] },
  { process: 'fresh', rounds: [CHUNKED, CHUNKED, CHUNKED] },
  { process: 'fresh', rounds: [SLOW] },
  { process: 'worn', rounds: [ANNOUNCED, CHUNKED, ANNOUNCED, CHUNKED] },
];

const file = randomFillSync(Buffer.alloc(FILE_BYTES));
const { contentType, body } = multipartOf(file);

/** Sends the form as a client would, in pieces; resolves with the status, 0 when the connection broke. */
function upload(url: string, token: string, { length, sender }: Sending): Promise<number> {
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

/** The peak begins anew: each round tells its own. */
const resetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5');

async function measure({ url, pid }: GatewayProcess, token: string, sending: Sending): Promise<Figures> {
  resetPeak(pid);
  const beforeMb = statusMb(pid, 'VmRSS');
  let diskMb = 0;
  const sampler = setInterval(() => {
    diskMb = Math.max(diskMb, unnamedMb(pid));
  }, SAMPLE_MS);
  const startedAt = performance.now();
  const answers = await Promise.all(Array.from({ length: UPLOADS }, () => upload(pathOf(url), token, sending)));
  const seconds = (performance.now() - startedAt) / 1000;
  clearInterval(sampler);
  const statuses = [...new Set(answers)]
    .map((status) => `${answers.filter((each) => each === status).length} × ${status}`)
    .join(', ');
  return { beforeMb, peakMb: statusMb(pid, 'VmHWM'), diskMb, seconds, statuses };
}

/** Makes a process a worn one: files of all sizes go up and come down again, and uploads break off midway. */
async function wear({ url }: GatewayProcess, token: string): Promise<void> {
  const headers = { authorization: `Bearer ${token}` };
  const upAndDown = async (bytes: number): Promise<void> => {
    const form = multipartOf(file.subarray(0, bytes));
    const upHeaders = { ...headers, 'content-type': form.contentType };
    const { body: answer } = await ask(pathOf(url), { method: 'POST', headers: upHeaders, body: form.body });
    const { entities } = JSON.parse(answer.toString()) as { entities: [{ uuid: string }] };
    const { status } = await ask(`${pathOf(url)}/${entities[0].uuid}`, { headers });
    if (status !== 200) throw new Error(`a download was answered with ${status}`);
  };
  const breakOff = async (share: number): Promise<void> => {
    const framing = { ...headers, 'content-type': contentType, 'content-length': body.length };
    const outgoing = request(pathOf(url), { method: 'POST', headers: framing, agent: false }).on('error', () => {});
    await new Promise<void>((resolve) => outgoing.write(body.subarray(0, body.length * share), () => resolve()));
    outgoing.destroy();
  };
  for (let done = 0; done < WORN.files; done += WORN.atOnce) {
    await Promise.all(Array.from({ length: WORN.atOnce }, (_, index) => upAndDown(1 + (FILE_BYTES >> (index % 12)))));
  }
  for (let done = 0; done < WORN.abandoned; done += WORN.atOnce) {
    await Promise.all(Array.from({ length: WORN.atOnce }, (_, index) => breakOff((1 + index) / (WORN.atOnce + 1))));
  }
}

const pathOf = (url: string): string => `${url}/${DEMO.org}/${DEMO.app}/chatfiles`;

const rows: string[] = [];
let isMissed = false;
for (const scenario of SCENARIOS) {
  await using emulator = await startEmulatorProcess();
  // The limit per client is no matter of memory, and all of them come from this address.
  await using gateway = await startGatewayProcess([`upstream.url=${emulator.url}`, 'clientLimit.requests=1000000']);
  const token = await logIn(emulator.url);
  if (scenario.process === 'worn') await wear(gateway, token);
  for (const [index, sending] of scenario.rounds.entries()) {
    const { beforeMb, peakMb, diskMb, seconds, statuses } = await measure(gateway, token, sending);
    isMissed ||= peakMb >= GOAL_MB || statuses !== `${UPLOADS} × 200`;
    const whole = [beforeMb, peakMb, GOAL_MB, diskMb].map((mb) => mb.toFixed(0));
    const kind = [scenario.process, sending.length, sending.sender, index + 1];
    rows.push(`| ${[...kind, ...whole, seconds.toFixed(1), statuses].join(' | ')} |`);
  }
}

const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, ${Math.round(totalmem() / 1024 ** 3)} GB`;
const report = `# Memory under uploads

\`node bench/upload-memory.ts\`, ${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.versions.node}.
${UPLOADS} uploads of ${FILE_BYTES / 1024 ** 2} MB begin at once, in rounds one after the other on one process. Gateway, emulator and senders are
three processes on this machine. The gateway has its default configuration but for the limit per client, so no more
than 30 uploads a second leave it. A worn process has first taken ${WORN.files} files of 5 KB to 10 MB up and down again, and seen
${WORN.abandoned} uploads of 10 MB break off midway, ${WORN.atOnce} at once. Before: the resident set when the round begins. Peak: the highest one
during the round (VmHWM, reset for each). Disk: the most that waited in the spool's files. A slow sender sends
${(SLOW_BYTES_PER_SECOND / 1024 ** 2).toFixed(2)} MB a second.

| process | length | senders | round | before MB | peak MB | goal MB | disk MB | seconds | answers |
|---|---|---|--:|--:|--:|--:|--:|--:|---|
${rows.join('\n')}
`;
console.log(report);
await mkdir(new URL('results/', import.meta.url), { recursive: true });
await writeFile(new URL('results/upload-memory.md', import.meta.url), report);
process.exitCode = isMissed ? 1 : 0;
