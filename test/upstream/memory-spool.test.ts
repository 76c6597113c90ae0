import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createMemorySpool } from '../../src/upstream/spool.ts';

const KB = 1024;
const OPTIONS = { maxBytes: 64 * KB, idleMs: 5000, totalMs: 5000, clock: systemClock };

function open(memoryBytes: number) {
  const spool = createMemorySpool({ memoryBytes });
  onTestFinished(() => spool[Symbol.asyncDispose]());
  return spool;
}

const sourceOf = (bytes: number, piece = 1000) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes / piece) }, (_, i) => Buffer.alloc(Math.min(piece, bytes - i * piece), i)),
    { objectMode: false },
  );

describe('a spool that has no disk', () => {
  it.each([0, 1, 500, 64 * KB])('gives a body of %i bytes back twice, announced or not', async (bytes) => {
    const spool = open(1024 * KB);
    for (const options of [OPTIONS, { ...OPTIONS, announcedBytes: bytes }]) {
      const body = await spool.take(sourceOf(bytes), options);
      const [first, second] = [await buffer(body.open()), await buffer(body.open())];
      expect([first.length, second.equals(first)]).toEqual([bytes, true]);
      expect(first.equals(await buffer(sourceOf(bytes)))).toBe(true);
      await body.release();
    }
    expect(spool.usage).toEqual({ memoryBytes: 0, diskBytes: 0, bodies: 0 });
  });

  it('holds no more for a body than was announced, so that hundreds of small ones fit', async () => {
    const spool = open(64 * KB);
    const bodies = await Promise.all(
      Array.from({ length: 300 }, () => spool.take(sourceOf(200), { ...OPTIONS, announcedBytes: 200 })),
    );
    expect(spool.usage).toEqual({ memoryBytes: 60_000, diskBytes: 0, bodies: 300 });
    await Promise.all(bodies.map((body) => body.release()));
  });

  it.each([
    ['that is too large', 64 * KB + 1, 1024 * KB, 'BODY_TOO_LARGE'],
    ['for which there is no memory left', 50 * KB, 40 * KB, 'SPOOL_FULL'],
  ])('refuses a body %s, announced or not, and holds nothing of it', async (_case, bytes, memoryBytes, code) => {
    const spool = open(memoryBytes);
    for (const options of [OPTIONS, { ...OPTIONS, announcedBytes: bytes }]) {
      await expect(spool.take(sourceOf(bytes), options)).rejects.toMatchObject({ code });
    }
    expect(spool.usage).toEqual({ memoryBytes: 0, diskBytes: 0, bodies: 0 });
  });
});
