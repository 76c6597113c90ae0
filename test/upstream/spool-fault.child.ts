/** Run under a limit on the size of files: takes a body that is too large for it, and tells what became of it. */
import { readdir } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { systemClock } from '../../src/clock.ts';
import { GatewayError } from '../../src/errors.ts';
import { createSpool } from '../../src/upstream/spool.ts';

const [dir = ''] = process.argv.slice(2);
const spool = await createSpool({ memoryPerUploadBytes: 0, memoryBytes: 0, diskBytes: 10_000_000, dir });
const options = { maxBytes: 10_000_000, idleMs: 10_000, totalMs: 10_000, clock: systemClock };
const source = (blocks: number) => Readable.from(Array.from({ length: blocks }, () => Buffer.alloc(50_000)));
const small = await spool.take(source(1), options);
const descriptors = async () => (await readdir('/proc/self/fd')).length;
const before = await descriptors();
// Its last block is cut short by the limit, which no error tells.
const failure = await spool.take(source(5), options).then(
  () => undefined,
  (error: unknown) => GatewayError.from(error),
);
const left = await descriptors();
await small.release();
const { code, reason } = failure ?? {};
const { usage } = spool;
const next = await spool.take(source(3), options);
process.stdout.write(JSON.stringify({ code, reason, usage, descriptors: left - before, next: next.bytes === 150_000 }));
await next.release();
