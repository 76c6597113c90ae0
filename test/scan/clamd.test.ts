import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { askClamd } from '../../src/scan/clamd.ts';
import { type ClamdAddress, readAddress } from '../../src/scan/config.ts';
import { scrubText } from '../../src/scrub.ts';
import { startClamd, type TestClamd, VIRUS, VIRUS_NAME } from '../kit/clamd.ts';

const TIMES = { connectTimeoutMs: 5000, timeoutMs: 20_000 };

async function* pieces(...parts: (string | Uint8Array)[]) {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part;
}

const ask = (
  address: ClamdAddress,
  file: AsyncIterable<Uint8Array>,
  more: { times?: object; signal?: AbortSignal } = {},
) =>
  askClamd(
    address,
    file,
    { ...TIMES, ...more.times },
    { clock: systemClock, signal: more.signal ?? new AbortController().signal },
  );

describe('a real clamd', () => {
  let clamd: TestClamd;
  let address: ClamdAddress;
  beforeAll(async () => {
    clamd = await startClamd({ StreamMaxLength: '256K' });
    address = readAddress(clamd.address) ?? { path: '' };
  }, 30_000);
  afterAll(() => clamd[Symbol.asyncDispose]());

  it('finds nothing in what is clean', async () => {
    expect(await ask(address, pieces('hello'))).toEqual({ kind: 'clean' });
  });

  it('finds its signature, also across two pieces', async () => {
    const half = VIRUS.length / 2;
    const file = pieces('before ', VIRUS.slice(0, half), new Uint8Array(0), VIRUS.slice(half), ' behind');
    expect(await ask(address, file)).toEqual({ kind: 'infected', name: VIRUS_NAME });
  });

  it('is asked twice at the same time', async () => {
    const verdicts = await Promise.all([ask(address, pieces(VIRUS)), ask(address, pieces('x'))]);
    expect(verdicts.map(({ kind }) => kind)).toEqual(['infected', 'clean']);
  });

  it('gives no verdict on what is larger than it reads, and never "clean"', async () => {
    const large = Array.from({ length: 40 }, () => Buffer.alloc(65_536, 'x'));
    expect(await ask(address, pieces(...large))).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('StreamMaxLength') as string,
    });
  });
});

/** A clamd that says what a test wants: called with each connection, and then with what came on it. */
async function scripted(onData: (socket: Socket, soFar: Buffer) => void): Promise<ClamdAddress> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    let soFar = Buffer.alloc(0);
    sockets.add(socket);
    socket
      .on('error', () => {})
      .on('data', (bytes) => {
        soFar = Buffer.concat([soFar, bytes]);
        onData(socket, soFar);
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

const isAll = (soFar: Buffer) => soFar.subarray(-4).equals(Buffer.alloc(4));

describe('what a clamd says', () => {
  it('is asked with lengths before the pieces, and an empty one at the end', async () => {
    let sent: Buffer = Buffer.alloc(0);
    const address = await scripted((socket, soFar) => {
      sent = soFar;
      if (isAll(soFar)) socket.end('stream: OK\0');
    });
    expect(await ask(address, pieces('abc', '', 'de'))).toEqual({ kind: 'clean' });
    expect(sent.toString('latin1')).toBe('zINSTREAM\0\0\0\0\x03abc\0\0\0\x02de\0\0\0\0');
  });

  it('may come in pieces', async () => {
    const address = await scripted((socket, soFar) => {
      if (!isAll(soFar)) return;
      socket.write('stream: Some.Vi');
      setImmediate(() => socket.write('rus FOUND\0'));
    });
    expect(await ask(address, pieces('x'))).toEqual({ kind: 'infected', name: 'Some.Virus' });
  });

  it.each([
    ['garbage', 'HTTP/1.1 200 OK\r\n\r\n\0'],
    ['an OK of something else', 'stream: x OK\0'],
    ['another command answered', 'PONG\0'],
    ['nothing', '\0'],
    ['an error', "stream: Can't allocate memory ERROR\0"],
  ])('is no verdict when it is %s', async (_sentence, answer) => {
    const address = await scripted((socket, soFar) => isAll(soFar) && socket.end(answer));
    expect(await ask(address, pieces('x'))).toMatchObject({ kind: 'failed' });
  });

  it('is cut short and cleaned where it names what was found', async () => {
    const address = await scripted(
      (socket, soFar) => isAll(soFar) && socket.end(`stream: \u001b[31m"evil"\r\n${'n'.repeat(200)} FOUND\0`),
    );
    const verdict = await ask(address, pieces('x'));
    expect(verdict).toMatchObject({ kind: 'infected', name: expect.stringMatching(/^[\w.:/-]{1,80}$/) as string });
  });

  it('counts however long the name is of what was found, and where there is none', async () => {
    const long = await scripted(
      (socket, soFar) => isAll(soFar) && socket.end(`stream: ${'Long.'.repeat(2000)}Name FOUND\0`),
    );
    expect(await ask(long, pieces('x'))).toEqual({ kind: 'infected', name: 'Long.'.repeat(16) });
    const nameless = await scripted((socket, soFar) => isAll(soFar) && socket.end('stream: FOUND\0'));
    expect(await ask(nameless, pieces('x'))).toEqual({ kind: 'infected', name: 'unnamed' });
  });

  it('is no "clean" before it has seen everything', async () => {
    const hasty = await scripted((socket) => socket.write('stream: OK\0'));
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = (async function* () {
      yield Buffer.from('x');
      await promise;
      yield Buffer.from('y');
    })();
    expect(await ask(hasty, slow)).toEqual({
      kind: 'failed',
      reason: 'it said OK before it was shown the whole file',
    });
    resolve();
  });

  it('can be read in the log where it is garbage', async () => {
    const answer = `stream: Can't open directory /var/lib/clamav, ${'x'.repeat(60)} ERROR\0`;
    const address = await scripted((socket, soFar) => isAll(soFar) && socket.end(answer));
    const verdict = await ask(address, pieces('x'));
    const reason = verdict.kind === 'failed' ? verdict.reason : '';
    expect(reason).toContain('Can t open directory /var/lib/clamav');
    expect(scrubText(reason)).toBe(reason);
  });

  it('is not waited for without end', async () => {
    const endless = await scripted((socket, soFar) => isAll(soFar) && socket.write('x'.repeat(100_000)));
    expect(await ask(endless, pieces('x'))).toMatchObject({ reason: 'an answer without an end' });
    const hanging = await scripted(() => {});
    expect(await ask(hanging, pieces('x'), { times: { timeoutMs: 50 } })).toMatchObject({
      reason: 'no answer within 50 ms',
    });
    const closing = await scripted((socket) => socket.end());
    expect(await ask(closing, pieces('x'))).toMatchObject({ kind: 'failed' });
  });

  it('is not waited for when the client has gone', async () => {
    const hanging = await scripted(() => {});
    const gone = new AbortController();
    const verdict = ask(hanging, pieces('x'), { signal: gone.signal });
    gone.abort();
    expect(await verdict).toMatchObject({ kind: 'failed' });
  });

  it('is nothing where nobody listens', async () => {
    expect(await ask({ path: '/nowhere/clamd' }, pieces('x'))).toEqual({ kind: 'failed', reason: 'ENOENT' });
    expect(await ask({ host: '127.0.0.1', port: 1 }, pieces('x'))).toEqual({ kind: 'failed', reason: 'ECONNREFUSED' });
  });

  it('is nothing when the file cannot be read', async () => {
    const address = await scripted((socket, soFar) => isAll(soFar) && socket.end('stream: OK\0'));
    const broken = (async function* () {
      yield Buffer.from('x');
      throw new Error('the disk is gone');
    })();
    expect(await ask(address, broken)).toEqual({ kind: 'failed', reason: 'the disk is gone' });
  });
});

describe('the address', () => {
  it.each([
    ['tcp://clamav:3310', { host: 'clamav', port: 3310 }],
    ['tcp://[::1]:3310', { host: '::1', port: 3310 }],
    ['unix:/run/clamav/clamd.ctl', { path: '/run/clamav/clamd.ctl' }],
    ['unix:///run/clamav/clamd.ctl', { path: '/run/clamav/clamd.ctl' }],
    ['clamav:3310', undefined],
    ['tcp://clamav', undefined],
    ['tcp://clamav:0', undefined],
    ['tcp://clamav:70000', undefined],
    ['unix:clamd.ctl', undefined],
  ])('%s is read', (text, address) => {
    expect(readAddress(text)).toEqual(address);
  });
});
