import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { scanSchema } from '../../src/scan/config.ts';
import { createScanner } from '../../src/scan/scanner.ts';
import { until } from '../kit/cached.ts';

/** A clamd that answers when it is told to, in the order in which it was asked. */
async function startPatient() {
  const asked: Socket[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => asked.push(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const clamd = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { clamd, asked, say: (at: number, answer = 'stream: OK\0') => void asked[at]?.end(answer) };
}

async function* file() {
  yield Buffer.from('x');
}

function scannerOf(config: object) {
  const notices: string[] = [];
  const notice = (_level: string, message: string) => void notices.push(message);
  const scanner = createScanner(scanSchema.parse(config), { clock: systemClock, notice });
  if (!scanner) throw new Error('no clamd is configured');
  const scan = (signal = new AbortController().signal) => scanner.scan(file(), signal);
  return { scan, notices };
}

describe('a scanner', () => {
  it('is none without a clamd', () => {
    expect(createScanner(scanSchema.parse({}), { clock: systemClock, notice: () => {} })).toBeUndefined();
  });

  it('asks no more at once than it may; the next goes when one is done', async () => {
    const { clamd, asked, say } = await startPatient();
    const { scan } = scannerOf({ clamd, maxAtOnce: 2 });
    const scans = [scan(), scan(), scan()];
    await until(() => asked.length === 2);
    say(0);
    expect(await scans[0]).toEqual({ kind: 'clean' });
    await until(() => asked.length === 3);
    say(1);
    say(2);
    expect(await Promise.all(scans)).toHaveLength(3);
  });

  it('lets nobody wait for ever for a turn, and forgets who has left', async () => {
    const { clamd, asked, say } = await startPatient();
    const { scan } = scannerOf({ clamd, maxAtOnce: 1 });
    const first = scan();
    const gone = new AbortController();
    const second = scan(gone.signal);
    const third = scan();
    await until(() => asked.length === 1);
    gone.abort();
    expect(await second).toMatchObject({ kind: 'failed' });
    say(0);
    await first;
    await until(() => asked.length === 2);
    say(1, 'stream: V FOUND\0');
    expect(await third).toEqual({ kind: 'infected', name: 'V' });

    const hurried = scannerOf({ clamd, maxAtOnce: 1, timeoutMs: 100 });
    const verdicts = await Promise.all([hurried.scan(), hurried.scan()]);
    expect(verdicts.map(({ kind }) => kind)).toEqual(['failed', 'failed']);
  });

  it('tells once that clamd is away, and once that it is back; and that a file was too large for it', async () => {
    const { clamd, asked, say } = await startPatient();
    const { scan, notices } = scannerOf({ clamd });
    for (const answer of [
      'garbage\0',
      'garbage\0',
      'stream: OK\0',
      'INSTREAM size limit exceeded. ERROR\0',
      'INSTREAM size limit exceeded. ERROR\0',
    ]) {
      const { length } = asked;
      const verdict = scan();
      await until(() => asked.length > length);
      say(length, answer);
      await verdict;
    }
    expect(notices).toEqual([
      'clamd cannot be asked: uploads are answered with 503',
      'clamd can be asked again',
      "the file is larger than clamd's StreamMaxLength: it should be no less than limits.fileBytes",
    ]);
  });
});
