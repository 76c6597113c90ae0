/**
 * The load, a process of its own: on each of its connections one request after the other, without a pause. It speaks HTTP
 * by itself, since node:http's client takes longer for a request than what is measured. It gets one `Round` at a time as
 * a message, and answers with its `Outcome`.
 */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { quantile } from '../quota/figures.ts';
import { cpuMs } from './cpu.ts';
import { fieldsOf, pathOf, tokenOf } from './hot-set.ts';

/** A round: whom to ask, whose CPU time to read, how large the hot set is, and which conditions all requests make. */
export type Round = {
  url: string;
  pids: number[];
  files: number;
  tokens: number;
  connections: number;
  seconds: number;
  status: number;
  /** The tag that each file is asked for with, for answers without a body. */
  tags?: string[] | undefined;
};

/** What came of it; CPU time of the processes in µs for each request. */
export type Outcome = { perSecond: number; cpuUs: number; p50: number; p99: number; wrong: number };

/** Ready requests: each file by each token, in an order that has nothing to do with that of the files. */
const STRIDE = 7919;
const HEAD_END = Buffer.from('\r\n\r\n');
const STATUS_AT = 'HTTP/1.1 '.length;

function requestsOf({ url, files, tokens, tags }: Round): Buffer[] {
  const bearers = Array.from({ length: tokens }, (_, index) => tokenOf(index));
  return Array.from({ length: files * tokens }, (_, number) => {
    const file = (number * STRIDE) % files;
    const fields = {
      host: new URL(url).host,
      'user-agent': 'chatfiles-bench',
      'accept-encoding': 'gzip',
      connection: 'keep-alive',
      ...fieldsOf(file, bearers[Math.floor(number / files) % tokens] ?? ''),
      ...(tags ? { 'if-none-match': tags[file] ?? '' } : {}),
    };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.from(`GET ${pathOf(file)} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
  });
}

/** Calls back at the end of each answer, with its status. Only one is under way, and none is chunked. */
function readAnswers(socket: Socket, onAnswer: (status: number) => void): void {
  let head: Buffer = Buffer.alloc(0);
  let status = 0;
  let left = 0;
  socket.on('data', (chunk: Buffer) => {
    if (status === 0) {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      const end = head.indexOf(HEAD_END);
      if (end === -1) return;
      const text = head.toString('latin1', 0, end);
      status = Number(text.slice(STATUS_AT, STATUS_AT + 3));
      const length = status === 304 ? 0 : Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? Number.NaN);
      left = length - (head.length - end - HEAD_END.length);
      head = Buffer.alloc(0);
    } else left -= chunk.length;
    if (left > 0) return;
    const ended = Number.isNaN(left) ? -1 : status;
    status = 0;
    onAnswer(ended);
  });
}

async function play(round: Round): Promise<Outcome> {
  const requests = requestsOf(round);
  const { hostname, port } = new URL(round.url);
  const sockets = Array.from({ length: round.connections }, () => connect(Number(port), hostname));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const latencies: number[] = [];
  let wrong = 0;
  let next = 0;
  const { promise, reject } = Promise.withResolvers<never>();
  const begin = (socket: Socket) => {
    let sentAt = 0;
    const send = () => {
      sentAt = performance.now();
      socket.write(requests[(next += 1) % requests.length] ?? '');
    };
    readAnswers(socket, (status) => {
      latencies.push(performance.now() - sentAt);
      if (status !== round.status) wrong += 1;
      send();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the server closed a connection')));
    send();
  };
  const cpuBefore = cpuMs(round.pids);
  const startedAt = performance.now();
  for (const socket of sockets) begin(socket);
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  setTimeout(end, round.seconds * 1000);
  await Promise.race([promise, over]);
  const seconds = (performance.now() - startedAt) / 1000;
  const cpuUs = ((cpuMs(round.pids) - cpuBefore) * 1000) / latencies.length;
  const measured = latencies.slice();
  promise.catch(() => {});
  for (const socket of sockets) socket.destroy();
  return {
    perSecond: measured.length / seconds,
    cpuUs,
    p50: quantile(measured, 0.5),
    p99: quantile(measured, 0.99),
    wrong,
  };
}

process.on('message', (round: Round) => {
  play(round).then(
    (outcome) => process.send?.(outcome),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
