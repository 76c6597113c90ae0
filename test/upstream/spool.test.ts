import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { allow, deny } from '../../src/policy/decision.ts';
import { createSpool, type Spool, type TakeOptions } from '../../src/upstream/spool.ts';
import type { SpooledBody } from '../../src/upstream/spooled-body.ts';

const KB = 1024;
const BLOCK = 64 * KB;
const THRESHOLD = 256 * KB;
const CONFIG = { memoryPerUploadBytes: THRESHOLD, memoryBytes: 64 * KB * KB, diskBytes: 256 * KB * KB };
const OPTIONS: TakeOptions = { maxBytes: 64 * KB * KB, idleMs: 10_000, totalMs: 60_000, clock: systemClock };
const EMPTY = { memoryBytes: 0, diskBytes: 0, bodies: 0 };

/** A spool in a folder of its own, both gone with the test. */
async function openSpool(config: Partial<typeof CONFIG> = {}): Promise<{ spool: Spool; dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'spool-test-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const spool = await createSpool({ ...CONFIG, ...config, dir });
  onTestFinished(() => spool[Symbol.asyncDispose]());
  return { spool, dir };
}

/** A source of these bytes in pieces of these sizes, over and over. */
function sourceOf(bytes: Buffer, sizes: readonly number[] = [40_000]): Readable {
  function* pieces(): Generator<Buffer> {
    for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
      const size = sizes[turn % sizes.length] ?? 1;
      yield bytes.subarray(at, at + size);
      at += size;
    }
  }
  return Readable.from(pieces(), { objectMode: false });
}

/** Compared as one value: a difference of megabytes is nothing to print. */
const holds = async (body: SpooledBody, bytes: Buffer): Promise<boolean> => bytes.equals(await buffer(body.open()));

const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

describe('a body', () => {
  const sizes = [
    0,
    1,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    THRESHOLD - 1,
    THRESHOLD,
    THRESHOLD + 1,
    THRESHOLD + BLOCK,
    10 * KB * KB,
  ];
  const cases = sizes.flatMap((size) => [true, false].map((announced) => ({ size, announced })));

  test.each(cases)(
    'of $size bytes (announced: $announced) comes back as it was, three times',
    async ({ size, announced }) => {
      const { spool } = await openSpool();
      const bytes = randomBytes(size);
      const body = await spool.take(sourceOf(bytes), { ...OPTIONS, ...(announced ? { announcedBytes: size } : {}) });
      expect(body.bytes).toBe(size);
      expect(spool.usage).toEqual({
        memoryBytes: Math.min(size, THRESHOLD),
        diskBytes: Math.max(0, size - THRESHOLD),
        bodies: 1,
      });
      for (let turn = 0; turn < 3; turn += 1) expect(await holds(body, bytes)).toBe(true);
      await body.release();
      expect(spool.usage).toEqual(EMPTY);
    },
  );

  test('has concurrent readers that do not disturb one another, while others break off', async () => {
    const { spool } = await openSpool();
    const bytes = randomBytes(3 * KB * KB);
    const body = await spool.take(sourceOf(bytes), OPTIONS);
    const breakOff = async () => {
      const stream = body.open();
      await once(stream, 'data');
      stream.destroy();
    };
    const readers = Array.from({ length: 8 }, () => [holds(body, bytes), breakOff()]).flat();
    expect((await Promise.all(readers)).filter((held) => held === false)).toEqual([]);
    await body.release();
  });

  test('is copied, so that tiny pieces of large buffers keep nothing alive', async () => {
    setFlagsFromString('--expose-gc');
    const collect: unknown = runInNewContext('gc');
    const { spool } = await openSpool();
    if (typeof collect === 'function') collect();
    const before = process.memoryUsage().arrayBuffers;
    const pieces = (function* () {
      for (let index = 0; index < 2000; index += 1) yield Buffer.allocUnsafeSlow(BLOCK).fill(index).subarray(0, 1);
    })();
    const body = await spool.take(Readable.from(pieces, { objectMode: false }), OPTIONS);
    expect(body.bytes).toBe(2000);
    expect(spool.usage.memoryBytes).toBe(2000);
    // What is collected is counted out some time later.
    await vi.waitFor(() => {
      if (typeof collect === 'function') collect();
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * KB * KB);
    });
    await body.release();
  });

  test('may be released any number of times, while it is read', async () => {
    const { spool } = await openSpool();
    const body = await spool.take(sourceOf(randomBytes(2 * KB * KB)), OPTIONS);
    const streams = [body.open(), body.open(), body.open()];
    const closed = Promise.all(streams.map((stream) => new Promise((resolve) => stream.once('close', resolve))));
    for (const stream of streams) stream.resume();
    await Promise.all([body.release(), body.release(), closed]);
    await body.release();
    expect(spool.usage).toEqual(EMPTY);
  });

  // The engine that sends bodies attaches no error listener: here nobody does, and the test would fail of it.
  test('that is released gives streams that fail and do not end the process', async () => {
    const { spool } = await openSpool();
    const body = await spool.take(sourceOf(randomBytes(10)), OPTIONS);
    await body.release();
    const stream = body.open();
    await new Promise((resolve) => stream.once('close', resolve));
    expect(stream.errored).toMatchObject({ code: 'GATEWAY_FAULT' });
  });

  test('never hits a file that got its descriptor number after it', async () => {
    const { spool } = await openSpool({ memoryPerUploadBytes: 0 });
    const rounds = Array.from({ length: 40 }, async (_, index) => {
      const bytes = Buffer.alloc(300_000, index + 1);
      const body = await spool.take(sourceOf(bytes), OPTIONS);
      body.open().resume();
      const stream = body.open();
      await once(stream, 'data');
      const rereads = await holds(body, bytes);
      body.open().resume();
      await body.release();
      return rereads;
    });
    expect((await Promise.all(rounds)).every(Boolean)).toBe(true);
  });
});

describe('the budgets', () => {
  const BODY = randomBytes(4 * BLOCK);

  test('refuse an announced body before a byte of it is read', async () => {
    const { spool } = await openSpool({ memoryBytes: 0, diskBytes: 5 * BLOCK });
    const first = await spool.take(sourceOf(BODY), { ...OPTIONS, announcedBytes: BODY.length });
    let reads = 0;
    const counting = new Readable({
      read() {
        reads += 1;
        this.push(BODY);
      },
    });
    const second = spool.take(counting, { ...OPTIONS, announcedBytes: BODY.length });
    await expect(second).rejects.toMatchObject({ code: 'SPOOL_FULL', retryAfterMs: 1000 });
    expect(reads).toBe(0);
    expect(spool.usage).toEqual({ memoryBytes: 0, diskBytes: BODY.length, bodies: 1 });
    await first.release();
    const third = await spool.take(sourceOf(BODY), { ...OPTIONS, announcedBytes: BODY.length });
    expect(await holds(third, BODY)).toBe(true);
    await third.release();
  });

  test('refuse an unannounced body when it outgrows them, and take everything back', async () => {
    const { spool } = await openSpool({ memoryBytes: BLOCK, diskBytes: 2 * BLOCK });
    await expect(spool.take(sourceOf(BODY), OPTIONS)).rejects.toMatchObject({ code: 'SPOOL_FULL', retryAfterMs: 1000 });
    expect(spool.usage).toEqual(EMPTY);
    const body = await spool.take(sourceOf(BODY.subarray(0, 3 * BLOCK)), OPTIONS);
    expect(spool.usage).toEqual({ memoryBytes: BLOCK, diskBytes: 2 * BLOCK, bodies: 1 });
    await body.release();
  });

  test('let the memory of all run out before that of one upload', async () => {
    const { spool } = await openSpool({ memoryBytes: 3 * BLOCK });
    const bodies = await Promise.all(
      [true, false].map((announced) =>
        spool.take(sourceOf(BODY), { ...OPTIONS, ...(announced ? { announcedBytes: BODY.length } : {}) }),
      ),
    );
    expect(spool.usage).toEqual({ memoryBytes: 3 * BLOCK, diskBytes: 5 * BLOCK, bodies: 2 });
    for (const body of bodies) {
      expect(await holds(body, BODY)).toBe(true);
      await body.release();
    }
    expect(spool.usage).toEqual(EMPTY);
  });

  // The attack: three hundred sockets without a valid token announce 10.5 MB each, send a few bytes and fall silent. When
  // the room was taken as announced, two hundred of them had all of it, and nobody could upload until they timed out.
  test.each([
    ['in memory', { memoryBytes: 300 * BLOCK, diskBytes: 21_000_000 }],
    ['on the disk', { memoryBytes: 0, diskBytes: 21_000_000 }],
  ])('are not used up by many that announce much and stay idle %s: an honest upload passes', async (_, config) => {
    const { spool } = await openSpool(config);
    const gone = new AbortController();
    const idle = Array.from({ length: 300 }, () => {
      const source = new Readable({ read() {} });
      source.push('--abc');
      return spool.take(source, { ...OPTIONS, announcedBytes: 10_500_000, signal: gone.signal });
    });
    const { memoryBytes, diskBytes } = config;
    await vi.waitFor(() => expect(spool.usage.memoryBytes + spool.usage.diskBytes).toBe(memoryBytes || 1500));
    expect(spool.usage.diskBytes).toBeLessThanOrEqual(diskBytes / 1000);

    const honest = randomBytes(10_500_000);
    const body = await spool.take(sourceOf(honest), { ...OPTIONS, announcedBytes: honest.length });
    expect(await holds(body, honest)).toBe(true);
    await body.release();

    gone.abort();
    const outcomes = await Promise.allSettled(idle);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toEqual([]);
    expect(spool.usage).toEqual(EMPTY);
  });

  test.each([true, false])(
    'let half of forty uploads finish rather than get all of them stuck half-way (announced: %s)',
    async (announced) => {
      const { spool } = await openSpool({ memoryBytes: 0, diskBytes: 20 * BODY.length });
      const takes = Array.from({ length: 40 }, () =>
        spool.take(sourceOf(BODY), { ...OPTIONS, ...(announced ? { announcedBytes: BODY.length } : {}) }),
      );
      const outcomes = await Promise.allSettled(takes);
      const taken = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      expect(taken).toHaveLength(20);
      await Promise.all(taken.map((body) => body.release()));
      expect(spool.usage).toEqual(EMPTY);
    },
  );
});

describe('a refusal', () => {
  const refused = async (options: Partial<TakeOptions>, source = sourceOf(randomBytes(10 * BLOCK))) => {
    const { spool } = await openSpool();
    const before = await descriptors();
    const code: unknown = await spool.take(source, { ...OPTIONS, ...options }).then(
      () => 'taken',
      (error: { code: string }) => error.code,
    );
    const listeners = ['data', 'end', 'error', 'close'].flatMap((event) => source.listeners(event)).length;
    expect({ destroyed: source.destroyed, listeners, usage: spool.usage }).toEqual({
      destroyed: false,
      listeners: 0,
      usage: EMPTY,
    });
    expect(await descriptors()).toBe(before);
    return code;
  };

  test('comes for an announced body over the limit', async () => {
    expect(await refused({ maxBytes: 1000, announcedBytes: 1001 })).toBe('BODY_TOO_LARGE');
  });

  test('comes for a body that grows over the limit', async () => {
    expect(await refused({ maxBytes: 9 * BLOCK })).toBe('BODY_TOO_LARGE');
  });

  test('does not come for a body of exactly the limit', async () => {
    const { spool } = await openSpool();
    const body = await spool.take(sourceOf(randomBytes(BLOCK)), { ...OPTIONS, maxBytes: BLOCK });
    expect(body.bytes).toBe(BLOCK);
    await body.release();
  });

  test('of the watch midway is passed on', async () => {
    let seen = 0;
    const push = (chunk: Uint8Array) => {
      seen += chunk.length;
      return seen > 7 * BLOCK ? deny('FILE_REPEATED', 'two') : allow;
    };
    expect(await refused({ watch: { push, end: () => allow } })).toBe('FILE_REPEATED');
  });

  test('of the watch at the end is passed on', async () => {
    const { spool } = await openSpool();
    const watch = { push: () => allow, end: () => deny('FILE_MISSING', 'none') };
    const taking = spool.take(sourceOf(randomBytes(10 * BLOCK)), { ...OPTIONS, watch });
    await expect(taking).rejects.toMatchObject({ code: 'FILE_MISSING' });
    expect(spool.usage).toEqual(EMPTY);
  });

  test('comes when the client is gone by its signal', async () => {
    expect(await refused({ signal: AbortSignal.abort() })).toBe('CLIENT_GONE');
  });

  test('lets the answer reach a client that is still sending', async () => {
    const { spool } = await openSpool();
    const server = createServer((req, res) => {
      spool.take(req, { ...OPTIONS, maxBytes: BLOCK }).catch((error: { status: number }) => {
        res.writeHead(error.status, { connection: 'close' }).end();
        req.resume();
      });
    });
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const sending = request({ port, method: 'POST', host: '127.0.0.1' });
    const status = new Promise((resolve, reject) => {
      sending.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject);
    });
    for (let turn = 0; turn < 20; turn += 1) sending.write(randomBytes(BLOCK));
    expect(await status).toBe(413);
    sending.destroy();
    expect(spool.usage).toEqual(EMPTY);
  });
});

describe('two hundred uploads that break off', () => {
  test('at the beginning, the middle and the end leave no descriptor, no room taken and no file', async () => {
    const { spool, dir } = await openSpool({ memoryPerUploadBytes: BLOCK });
    const codes: Record<string, number> = {};
    const size = 6 * BLOCK;
    const server = createServer((req) => {
      void spool.take(req, { ...OPTIONS, announcedBytes: size }).catch((error: { code: string }) => {
        codes[error.code] = (codes[error.code] ?? 0) + 1;
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const before = await descriptors();
    const breakOff = async (share: number) => {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
      const arrived = once(server, 'request');
      await new Promise<void>((resolve) => socket.write(Buffer.alloc(Math.floor(size * share), 'x'), () => resolve()));
      await arrived;
      socket.resetAndDestroy();
    };
    for (let turn = 0; turn < 200; turn += 1) await breakOff([0, 0.5, 0.99][turn % 3] ?? 0);
    await vi.waitFor(() => expect(codes).toEqual({ CLIENT_GONE: 200 }), { interval: 5 });
    await vi.waitFor(async () => expect(await descriptors()).toBeLessThanOrEqual(before), { interval: 5 });
    expect(spool.usage).toEqual(EMPTY);
    expect(await readdir(join(dir, (await readdir(dir))[0] ?? ''))).toEqual([]);
    server.close();
  });
});

describe('the folder', () => {
  const LARGE = randomBytes(THRESHOLD + 2 * BLOCK);

  test('is private, empty while bodies wait in it, and gone with the spool', async () => {
    const { spool, dir } = await openSpool();
    const body = await spool.take(sourceOf(LARGE), OPTIONS);
    const [name = ''] = await readdir(dir);
    expect((await stat(join(dir, name))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(dir, name))).toEqual([]);
    expect(spool.usage.diskBytes).toBeGreaterThan(0);
    await spool[Symbol.asyncDispose]();
    expect(await readdir(dir)).toEqual([]);
    await body.release();
    await expect(spool.take(sourceOf(LARGE), OPTIONS)).rejects.toMatchObject({ code: 'DRAINING' });
  });

  test('is made where none was', async () => {
    const { dir } = await openSpool();
    const spool = await createSpool({ ...CONFIG, dir: join(dir, 'a', 'b') });
    expect(await readdir(join(dir, 'a', 'b'))).toHaveLength(1);
    await spool[Symbol.asyncDispose]();
  });

  test.each<[what: string, replace: (path: string) => Promise<void>, code: string]>([
    ['removed', async () => {}, 'ENOENT'],
    ['replaced by a file', (path) => writeFile(path, ''), 'ENOTDIR'],
  ])('that was %s fails one upload and is made again for the next', async (_, replace, code) => {
    const { spool, dir } = await openSpool();
    const waiting = await spool.take(sourceOf(LARGE), OPTIONS);
    const [name = ''] = await readdir(dir);
    await rm(join(dir, name), { recursive: true });
    await replace(join(dir, name));
    const taking = spool.take(sourceOf(LARGE), OPTIONS);
    await expect(taking).rejects.toMatchObject({ code: 'SPOOL_FULL', retryAfterMs: 1000 });
    await expect(taking).rejects.toThrow(expect.objectContaining({ reason: expect.stringContaining(code) }));
    const next = await spool.take(sourceOf(LARGE), OPTIONS);
    expect(await holds(next, LARGE)).toBe(true);
    expect(await holds(waiting, LARGE)).toBe(true);
    await Promise.all([next.release(), waiting.release()]);
  });

  // A limit on the size of files makes the disk do what a full one does: one short write, then an error.
  test('on a disk that takes no more fails the upload, and only that', async () => {
    const { dir } = await openSpool();
    const script = join(import.meta.dirname, 'spool-fault.child.ts');
    const command = `ulimit -f 400; exec "${process.execPath}" "${script}" "${dir}"`;
    const { stdout } = await promisify(execFile)('sh', ['-c', command]);
    expect(JSON.parse(stdout)).toEqual({
      code: 'SPOOL_FULL',
      reason: "the spool's disk: EFBIG when writing",
      usage: EMPTY,
      descriptors: 0,
      next: true,
    });
  });
});

test('whatever the sizes, thresholds, pieces and replays, bytes come back as they were and room comes back whole', async () => {
  const { dir } = await openSpool();
  const upload = fc.record({
    size: fc.oneof(fc.integer({ min: 0, max: 400_000 }), fc.constantFrom(0, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK)),
    announced: fc.boolean(),
    sizes: fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 5 }),
    replays: fc.integer({ min: 0, max: 3 }),
    breakOff: fc.boolean(),
  });
  const config = fc.record({
    memoryPerUploadBytes: fc.constantFrom(0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 150_000, 1_000_000),
    memoryBytes: fc.constantFrom(0, 1, BLOCK, 200_000, 10_000_000),
    diskBytes: fc.constantFrom(0, 1000, 300_000, 10_000_000),
  });
  await fc.assert(
    fc.asyncProperty(config, fc.array(upload, { minLength: 1, maxLength: 5 }), async (config, uploads) => {
      await using spool = await createSpool({ ...config, dir });
      const run = async ({ size, announced, sizes, replays, breakOff }: (typeof uploads)[number]): Promise<boolean> => {
        const bytes = randomBytes(size);
        const options = announced ? { ...OPTIONS, announcedBytes: size } : OPTIONS;
        const body = await spool.take(sourceOf(bytes, sizes), options).catch((error: { code: string }) => error.code);
        if (typeof body === 'string') return body === 'SPOOL_FULL';
        if (breakOff)
          body.open().once('readable', function (this: Readable) {
            this.destroy();
          });
        const held = await Promise.all(Array.from({ length: replays }, () => holds(body, bytes)));
        await body.release();
        return held.every(Boolean);
      };
      expect(await Promise.all(uploads.map(run))).toEqual(uploads.map(() => true));
      expect(spool.usage).toEqual(EMPTY);
    }),
    { numRuns: 120 },
  );
});
